//! The file of this program, as far as it must be known: what it imports, and where its statics
//! are.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

/// A 64-bit little-endian ELF file.
#[derive(Debug)]
pub(crate) struct Elf {
    file: File,
    sections: Vec<Section>,
}

/// What there is of a section.
#[derive(Debug)]
struct Section {
    name: String,
    kind: usize,
    /// Where it is, before the file is loaded somewhere.
    address: usize,
    /// Where it is in the file.
    start: usize,
    length: usize,
    /// The section that belongs to it: of symbols, that of their names.
    link: usize,
}

/// A table of symbols, and their names.
#[derive(Debug)]
pub(crate) struct Symbols {
    table: Vec<u8>,
    /// Texts that end with a zero byte.
    pub(crate) names: Vec<u8>,
}

/// A static.
#[derive(Debug)]
pub(crate) struct Static<'a> {
    pub(crate) name: &'a str,
    /// Where, before the file is loaded somewhere.
    pub(crate) address: usize,
    /// How many bytes.
    pub(crate) size: usize,
    /// In which section.
    section: usize,
}

const SYMBOLS: usize = 2;
const DYNAMIC_SYMBOLS: usize = 11;
/// Bytes of a symbol.
const SYMBOL: usize = 24;
/// Bytes of what the file begins with.
const HEADER: usize = 64;

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The text that begins there; empty, if there is none.
fn text(bytes: &[u8], at: usize) -> &str {
    let text = bytes.get(at..).unwrap_or_default();
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}

impl Elf {
    /// The file of this program.
    ///
    /// # Errors
    /// If it cannot be read, or is another kind of file.
    pub(crate) fn own() -> Result<Self> {
        Self::of(File::open(std::env::current_exe()?)?)
    }

    fn of(file: File) -> Result<Self> {
        let mut header = [0; HEADER];
        let read = file.read_exact_at(&mut header, 0);
        if read.is_err() || !header.starts_with(b"\x7fELF\x02\x01") {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "this program's file is no 64-bit ELF file",
            ));
        }
        let mut elf = Self { file, sections: Vec::new() };
        let (size, count) = (number(&header, 0x3A, 2), number(&header, 0x3C, 2));
        let table = elf.bytes(number(&header, 0x28, 8), size * count)?;
        let of = |index: usize, at: usize, bytes: usize| number(&table, index * size + at, bytes);
        let names = number(&header, 0x3E, 2);
        let names = elf.bytes(of(names, 0x18, 8), of(names, 0x20, 8))?;
        let section = |index: usize| Section {
            name: text(&names, of(index, 0, 4)).to_owned(),
            kind: of(index, 4, 4),
            address: of(index, 0x10, 8),
            start: of(index, 0x18, 8),
            length: of(index, 0x20, 8),
            link: of(index, 0x28, 4),
        };
        elf.sections = (0..count).map(section).collect();
        Ok(elf)
    }

    fn bytes(&self, start: usize, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start as u64)?;
        Ok(bytes)
    }

    /// The symbols of one of its tables; none, if there is no such table.
    fn symbols(&self, kind: usize) -> Result<Option<Symbols>> {
        let Some(table) = self.sections.iter().find(|section| section.kind == kind) else {
            return Ok(None);
        };
        let Some(names) = self.sections.get(table.link) else { return Ok(None) };
        Ok(Some(Symbols {
            table: self.bytes(table.start, table.length)?,
            names: self.bytes(names.start, names.length)?,
        }))
    }

    /// All that has a name; none, if the names were stripped off.
    pub(crate) fn all(&self) -> Result<Option<Symbols>> {
        self.symbols(SYMBOLS)
    }

    /// The statics among these symbols that programs write to.
    pub(crate) fn written<'a>(&self, symbols: &'a Symbols) -> Vec<Static<'a>> {
        const OBJECT: u8 = 1;
        let is_written = |name: &str| {
            let plain = name == ".data" || name.starts_with(".data.") || name == ".bss";
            plain && !name.starts_with(".data.rel.ro")
        };
        let written: Vec<bool> = self.sections.iter().map(|one| is_written(&one.name)).collect();
        let here = |symbol: &&[u8]| {
            let section = number(symbol, 6, 2);
            symbol[4] & 0xF == OBJECT && written.get(section).copied().unwrap_or_default()
        };
        let found = symbols.table.chunks_exact(SYMBOL).filter(here);
        found
            .map(|symbol| Static {
                name: text(&symbols.names, number(symbol, 0, 4)),
                address: number(symbol, 8, 8),
                size: number(symbol, 16, 8),
                section: number(symbol, 6, 2),
            })
            .collect()
    }

    /// What a static is as a process begins, but for addresses in it, which the loader puts there.
    pub(crate) fn initial(&self, one: &Static<'_>) -> Result<Vec<u8>> {
        const NO_BITS: usize = 8;
        match self.sections.get(one.section) {
            Some(section) if section.kind != NO_BITS => {
                self.bytes(section.start + one.address.saturating_sub(section.address), one.size)
            }
            _ => Ok(vec![0; one.size]),
        }
    }

    /// What it takes from shared libraries.
    pub(crate) fn imports(&self) -> Result<Vec<String>> {
        let Some(Symbols { table, names }) = self.symbols(DYNAMIC_SYMBOLS)? else {
            return Ok(Vec::new());
        };
        let undefined = table.chunks_exact(SYMBOL).skip(1).filter(|one| number(one, 6, 2) == 0);
        Ok(undefined.map(|one| text(&names, number(one, 0, 4)).to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static WRITTEN: AtomicU64 = AtomicU64::new(7);
    static ZERO: AtomicU64 = AtomicU64::new(0);
    static READ: [u64; 2] = [7, 8];

    #[test]
    fn a_static_that_is_written_to_is_found_and_one_that_is_not_is_not() {
        WRITTEN.fetch_add(READ[0], Relaxed);
        ZERO.fetch_add(READ[1], Relaxed);
        let elf = Elf::own().unwrap();
        let symbols = elf.all().unwrap().expect("the names of this test");
        let written = elf.written(&symbols);
        let named = |name: &str| written.iter().find(|one| one.name.contains(name));
        assert_eq!(named("elf5tests7WRITTEN").map(|one| one.size), Some(8));
        assert!(named("elf5tests4READ").is_none());
        for (name, value) in [("elf5tests7WRITTEN", 7_u64), ("elf5tests4ZERO", 0)] {
            let one = named(name).expect("a static of this test");
            assert_eq!(elf.initial(one).unwrap(), value.to_ne_bytes(), "{name}");
        }
    }

    #[test]
    fn another_kind_of_file_is_refused() {
        let script = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let error = Elf::of(script).expect_err("no ELF file");
        assert_eq!(error.to_string(), "this program's file is no 64-bit ELF file");
    }
}
