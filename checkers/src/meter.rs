//! What a search may spend: configurations and bytes, never time, so that the same history gives
//! the same answer anywhere.

use crate::verdict::{Budget, Limit};

/// So many steps of a few nanoseconds each cost as much as a configuration: without this, a search
/// could be busy for long between two configurations.
const STEPS: u64 = 256;

/// Steps that a look costs, which may call the model.
const LOOK: u64 = 8;

/// A budget, and how much of it is spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    budget: Budget,
    spent: Spent,
    steps: u64,
}

/// What a search spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Configurations, looks and steps included.
    pub(crate) configurations: u64,
    /// Most bytes held at once.
    pub(crate) bytes: u64,
}

impl Meter {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, spent: Spent::default(), steps: 0 }
    }

    /// As much again, of which nothing is spent.
    #[cfg(feature = "transactions")]
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.budget)
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
        self.step(count as u64 * LOOK)
    }

    /// So many steps were taken that cost a few nanoseconds each.
    pub(crate) fn step(&mut self, count: u64) -> Result<(), Limit> {
        self.steps += count;
        while self.steps >= STEPS {
            self.steps -= STEPS;
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
