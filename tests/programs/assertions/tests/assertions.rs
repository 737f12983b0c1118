//! Assertions of `antithesis_sdk` are properties here, with no change of the program.

use seedfall::Runnable;
use seedfall::report::Failure;
use seedfall::sweep::{Meaning, Summary, Sweep, all_cores, sweep};
use seedfall_assertions::{calm, careful, careless};

fn swept(scenario: &dyn Runnable) -> Summary {
    let plan = Sweep { seeds: 0..1_000, keep_going: true, ..Sweep::new(all_cores()) };
    sweep(scenario, &plan, &|_| ())
}

/// Does it in a process of its own.
fn alone(scenario: impl Runnable, body: impl Fn(&dyn Runnable)) {
    scenario.alone(&mut || body(&scenario));
}

#[test]
fn a_program_whose_assertions_hold_and_are_reached_holds() {
    alone(careful(), |scenario| {
        let summary = swept(scenario);
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        let declared: Vec<&str> = summary.declared.iter().copied().collect();
        assert_eq!(
            declared,
            ["all is sold", "an office opens again", "no more is sold than there is"]
        );
        println!("{:?}", summary.marks);
    });
}

#[test]
fn an_assertion_that_does_not_hold_is_a_failure_of_safety_by_its_name() {
    alone(careless(), |scenario| {
        let summary = swept(scenario);
        assert_eq!(summary.meaning(scenario), Meaning::AsExpected, "{summary:?}");
        let all: Vec<&(u64, Failure)> = summary.expected.values().collect();
        let [(runs, failure)] = all[..] else { panic!("one property breaks: {all:?}") };
        println!("in {runs} runs\n{failure}");
        assert_eq!(failure.property, "always no ticket is sold twice");
        assert!(failure.explanation.contains("src/lib.rs"), "{failure}");
        assert!(failure.explanation.contains(r#""ticket":"#), "{failure}");
    });
}

#[test]
fn what_is_declared_and_never_reached_makes_a_sweep_vacuous() {
    alone(calm(), |scenario| {
        let summary = swept(scenario);
        let Meaning::Vacuous(why) = summary.meaning(scenario) else { panic!("{summary:?}") };
        assert_eq!(why, "never reached: an office opens again");
    });
}
