//! The file of this program, as far as it must be known: what it imports, and where its statics
//! are.

/// A 64-bit little-endian ELF file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elf<'a>(&'a [u8]);

/// What there is of a section.
#[derive(Clone, Copy, Debug)]
struct Section<'a> {
    name: &'a str,
    kind: usize,
    start: usize,
    length: usize,
    /// The section that belongs to it: of symbols, that of their names.
    link: usize,
}

/// A name, and what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a str,
    /// Where, before the file is loaded somewhere.
    pub(crate) address: usize,
    /// How many bytes.
    pub(crate) size: usize,
    /// In which section; `None`: in another file.
    pub(crate) section: Option<&'a str>,
    /// Whether it is data.
    pub(crate) is_object: bool,
}

const SYMBOLS: usize = 2;
const DYNAMIC_SYMBOLS: usize = 11;
/// Bytes of a symbol.
const SYMBOL: usize = 24;

impl<'a> Elf<'a> {
    /// These bytes; `None`: they are another kind of file.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(b"\x7fELF\x02\x01").then_some(Self(bytes))
    }

    /// A number of so many bytes.
    fn number(self, at: usize, size: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// The text that begins there.
    fn text(self, at: usize) -> Option<&'a str> {
        let text = self.0.get(at..)?;
        std::str::from_utf8(&text[..text.iter().position(|byte| *byte == 0)?]).ok()
    }

    fn sections(self) -> Option<Vec<Section<'a>>> {
        let (table, size) = (self.number(0x28, 8)?, self.number(0x3A, 2)?);
        let (count, names) = (self.number(0x3C, 2)?, self.number(0x3E, 2)?);
        let names = self.number(table + names * size + 0x18, 8)?;
        let section = |index: usize| {
            let at = table + index * size;
            Some(Section {
                name: self.text(names + self.number(at, 4)?)?,
                kind: self.number(at + 4, 4)?,
                start: self.number(at + 0x18, 8)?,
                length: self.number(at + 0x20, 8)?,
                link: self.number(at + 0x28, 4)?,
            })
        };
        (0..count).map(section).collect()
    }

    /// The symbols of one of its tables; `None`: there is no such table.
    fn symbols(self, kind: usize) -> Option<Vec<Symbol<'a>>> {
        const OBJECT: usize = 1;
        let sections = self.sections()?;
        let table = sections.iter().find(|section| section.kind == kind)?;
        let names = sections.get(table.link)?.start;
        let symbol = |index: usize| {
            let at = table.start + index * SYMBOL;
            let section = match self.number(at + 6, 2)? {
                0 => None,
                // A section that is none: an absolute address, a common block.
                index => Some(sections.get(index).map_or("", |section| section.name)),
            };
            Some(Symbol {
                name: self.text(names + self.number(at, 4)?)?,
                address: self.number(at + 8, 8)?,
                size: self.number(at + 16, 8)?,
                section,
                is_object: self.number(at + 4, 1)? & 0xF == OBJECT,
            })
        };
        (1..table.length / SYMBOL).map(symbol).collect()
    }

    /// All that has a name; `None`: the names were stripped off.
    pub(crate) fn all(self) -> Option<Vec<Symbol<'a>>> {
        self.symbols(SYMBOLS)
    }

    /// What it takes from shared libraries.
    pub(crate) fn imports(self) -> Option<Vec<String>> {
        let mut names = self.symbols(DYNAMIC_SYMBOLS)?;
        names.retain(|symbol| symbol.section.is_none());
        Some(names.iter().map(|symbol| symbol.name.to_owned()).collect())
    }
}
