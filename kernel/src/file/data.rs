//! The bytes of one file, and which of them a crash leaves.

use std::collections::BTreeMap;

/// What the page cache writes at once.
pub(super) const PAGE: usize = 4096;

/// The bytes of a file, and what is durable of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
    /// What pages held that were written since the last sync; `None`: they were behind the end.
    pub(super) before: BTreeMap<usize, Option<Vec<u8>>>,
    /// How long the file was then.
    durable_length: usize,
}

impl Data {
    /// The page is about to change: what it holds is kept for a crash.
    fn touch(&mut self, page: usize) {
        let Data { bytes, before, durable_length } = self;
        before.entry(page).or_insert_with(|| {
            let start = page * PAGE;
            let end = (start + PAGE).min(*durable_length).min(bytes.len());
            (start < end).then(|| bytes[start..end].to_vec())
        });
    }

    fn touch_range(&mut self, start: usize, end: usize) {
        if start < end {
            (start / PAGE..=(end - 1) / PAGE).for_each(|page| self.touch(page));
        }
    }

    /// Writes at a place.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.touch_range(at.min(self.bytes.len()), end);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
    }

    /// Cuts it off, or fills it up with zeros.
    pub(super) fn resize(&mut self, length: usize) {
        let old = self.bytes.len();
        self.touch_range(old.min(length), old.max(length));
        self.bytes.resize(length, 0);
    }

    /// Everything is durable.
    pub(super) fn sync(&mut self) {
        self.before.clear();
        self.durable_length = self.bytes.len();
    }

    /// What a crash leaves; `keep` decides for each page that is not durable.
    pub(super) fn crash(&mut self, mut keep: impl FnMut() -> bool) {
        if self.before.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.before);
        let new = std::mem::take(&mut self.bytes);
        let mut image = new.clone();
        image.resize(self.durable_length, 0);
        for (page, old) in &before {
            let start = page * PAGE;
            if let Some(old) = old {
                image[start..start + old.len()].copy_from_slice(old);
            }
        }
        for page in before.keys() {
            let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(new.len()));
            if keep() && start < end {
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[start..end].copy_from_slice(&new[start..end]);
            }
        }
        if new.len() < self.durable_length && keep() {
            image.truncate(new.len());
        }
        (self.durable_length, self.bytes) = (image.len(), image);
    }
}
