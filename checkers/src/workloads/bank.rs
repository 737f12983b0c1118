//! Bank: transfers between accounts, and reads of all balances at once (Jepsen's `bank` workload).
//!
//! Under snapshot isolation money is neither made nor lost: every read shows the same total, all
//! accounts, and, if the bank forbids it, no debt. It does not see a read that is stale but
//! balanced.

use std::collections::BTreeMap;

use crate::history::{History, Outcome};
use crate::report::Report;

/// What a client asks of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BankAccess {
    /// Read all balances.
    Read,
    /// Move money; a transfer that would overdraw must fail.
    Transfer {
        /// Which account pays.
        from: u32,
        /// Which account is paid.
        to: u32,
        /// How much.
        amount: u64,
    },
}

/// The rules of one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Accounts, numbered from 0.
    pub accounts: u32,
    /// All the money there is.
    pub total: i64,
    /// Whether a balance may be negative.
    pub allows_debt: bool,
}

/// Checks every read; the output of a read is the balance of each account, of a transfer nothing.
#[must_use]
pub fn bank(history: &History<BankAccess, BTreeMap<u32, i64>>, rules: &Bank) -> Report {
    let mut report = Report::default();
    for (index, operation) in (0u32..).zip(&history.operations) {
        let (BankAccess::Read, Outcome::Ok { output, .. }) = (operation.input, &operation.outcome)
        else {
            continue;
        };
        report.examined += 1;
        if let Some(missing) = (0..rules.accounts).find(|account| !output.contains_key(account)) {
            report.note("missing-account", &[index], || {
                format!("operation {index} did not see account {missing}")
            });
        }
        if let Some((stranger, _)) = output.range(rules.accounts..).next() {
            report.note("unexpected-account", &[index], || {
                format!("operation {index} saw account {stranger}, which does not exist")
            });
        }
        let total: i128 = output.values().map(|balance| i128::from(*balance)).sum();
        if total != i128::from(rules.total) {
            report.note("wrong-total", &[index], || {
                format!("operation {index} saw {total} in all, not {}", rules.total)
            });
        }
        let debt = output.iter().find(|(_, balance)| **balance < 0 && !rules.allows_debt);
        if let Some((account, balance)) = debt {
            report.note("negative-value", &[index], || {
                format!("operation {index} saw account {account} at {balance}")
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(balances: &[i64]) -> History<BankAccess, BTreeMap<u32, i64>> {
        let mut history = History::new();
        let index = history.invoke(0, 0, BankAccess::Read);
        history.complete(index, 1, (0..).zip(balances.iter().copied()).collect());
        history.invoke(1, 0, BankAccess::Transfer { from: 0, to: 1, amount: 5 });
        history
    }

    #[test]
    fn each_rule_is_named() {
        let rules = Bank { accounts: 2, total: 20, allows_debt: false };
        let good = bank(&read(&[13, 7]), &rules);
        assert!(good.holds() && good.examined == 1);
        assert!(bank(&read(&[13, 8]), &rules).breaks("wrong-total"));
        assert!(bank(&read(&[21, -1]), &rules).breaks("negative-value"));
        assert!(bank(&read(&[21, -1]), &Bank { allows_debt: true, ..rules }).holds());
        assert!(bank(&read(&[20]), &rules).breaks("missing-account"));
        assert!(bank(&read(&[13, 7, 0]), &rules).breaks("unexpected-account"));
        assert!(bank(&read(&[i64::MAX, i64::MAX]), &rules).breaks("wrong-total"));
    }
}
