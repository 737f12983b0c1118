//! What runs for real, over TCP and files: [`driver`] serves a node of any protocol. With the
//! feature `service`, a service is a protocol as the commands see it, and `chaos` runs real
//! processes under a fault plan.
//!
//! The only room that touches the machine.

#[cfg(all(feature = "service", unix))]
pub mod chaos;
pub mod driver;
#[cfg(feature = "service")]
pub mod service;
