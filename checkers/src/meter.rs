//! What a search may spend: configurations and bytes, never time, so that the same history gives
//! the same answer anywhere.

use crate::verdict::{Budget, Limit};

/// So many looks at what leads nowhere cost as much as a configuration: without this, a search
/// could be busy for long between two configurations.
const LOOKS: u64 = 32;

/// A budget, and how much of it is spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    budget: Budget,
    spent: Spent,
    looks: u64,
}

/// What a search spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Configurations, looks included.
    pub(crate) configurations: u64,
    /// Most bytes held at once.
    pub(crate) bytes: u64,
}

impl Meter {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, spent: Spent::default(), looks: 0 }
    }

    pub(crate) fn spent(&self) -> Spent {
        self.spent
    }

    /// One more configuration is about to be expanded.
    pub(crate) fn expand(&mut self) -> Result<(), Limit> {
        if self.spent.configurations >= self.budget.configurations {
            return Err(Limit::Configurations);
        }
        self.spent.configurations += 1;
        Ok(())
    }

    /// So many things were looked at: steps of the model tried, or configurations compared.
    pub(crate) fn look(&mut self, count: usize) -> Result<(), Limit> {
        self.looks += count as u64;
        while self.looks >= LOOKS {
            self.looks -= LOOKS;
            self.expand()?;
        }
        Ok(())
    }

    /// So many bytes are held now.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), Limit> {
        self.spent.bytes = self.spent.bytes.max(bytes);
        if bytes > self.budget.bytes { Err(Limit::Bytes) } else { Ok(()) }
    }
}
