//! quinn: QUIC over UDP, with rustls (ring): a sum that clients add to, each request a stream.

use crate::account::Account;
use crate::common::looks_and_adds;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Connection, Endpoint, Incoming, ServerConfig, TransportConfig};
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::error::Error;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// For the name `server`, valid from 2020 to 2120, signed by its own key.
const CERTIFICATE: &[u8] = include_bytes!("quic/certificate.der");
const KEY: &[u8] = include_bytes!("quic/key.der");

/// How long one try may take, with its handshake.
const PATIENCE: Duration = Duration::from_millis(400);

/// How often a client tries.
const ATTEMPTS: usize = 5;

type Fails<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The server's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(once: bool) -> Fails<()> {
    let key = PrivatePkcs8KeyDer::from(KEY.to_vec());
    let certificates = vec![CertificateDer::from(CERTIFICATE)];
    let config = ServerConfig::with_single_cert(certificates, key.into())?;
    let endpoint = Endpoint::server(config, (Ipv4Addr::UNSPECIFIED, 4433).into())?;
    let account = Arc::new(Mutex::new(Account::open(once)));
    while let Some(incoming) = endpoint.accept().await {
        let account = Arc::clone(&account);
        tokio::spawn(async move { drop(connection(incoming, account).await) });
    }
    Ok(())
}

async fn connection(incoming: Incoming, account: Arc<Mutex<Account>>) -> Fails<()> {
    let connection = incoming.await?;
    loop {
        let (mut answers, mut asks) = connection.accept_bi().await?;
        let ask = String::from_utf8(asks.read_to_end(100).await?)?;
        let answer = {
            let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((key, amount)) = ask.split_once(' ') {
                account.add(key.to_owned(), amount.parse()?);
            }
            account.total().to_string()
        };
        answers.write_all(answer.as_bytes()).await?;
        answers.finish()?;
    }
}

fn endpoint() -> Fails<Endpoint> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE))?;
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(2).try_into()?));
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(Arc::new(transport));
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// A client, which connects anew after a try that failed.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let endpoint = endpoint().expect("an endpoint");
    let (mut connection, mut number) = (None, 0);
    while let Some(input) = session.next().await {
        number += 1;
        let request = match &input {
            In::Add(amount) => format!("client{}-{number} {amount}", session.client() + 1),
            _ => "total".to_owned(),
        };
        let mut answer = Answer::Indeterminate;
        for _ in 0..ATTEMPTS {
            match timeout(PATIENCE, ask(&endpoint, &mut connection, &request)).await {
                Ok(Ok(_)) if input != In::Read => answer = Answer::Ok(Out::Done),
                Ok(Ok(total)) => answer = Answer::Ok(Out::Value(total)),
                Ok(Err(_)) | Err(_) => {
                    connection = None;
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            }
            break;
        }
        session.answer(answer);
    }
}

async fn ask(
    endpoint: &Endpoint,
    connection: &mut Option<Connection>,
    request: &str,
) -> Fails<i64> {
    let open = match connection {
        Some(open) => open,
        None => {
            let address = "server:4433".to_socket_addrs()?.next().ok_or("no address")?;
            connection.insert(endpoint.connect(address, "server")?.await?)
        }
    };
    let (mut asks, mut answers) = open.open_bi().await?;
    asks.write_all(request.as_bytes()).await?;
    asks.finish()?;
    Ok(String::from_utf8(answers.read_to_end(100).await?)?.parse()?)
}

fn scenario(name: &'static str, once: bool) -> Programs<In, Out> {
    Programs {
        story: "Two clients add to a sum over QUIC, and look at it.",
        nodes: vec![Program::new("server", move || serve(once).expect("it can serve"))],
        faults: Swarm::ALL,
        properties: vec![linearizable(Counter { initial: 0 }), every_operation_completes()],
        ..Programs::new(name, looks_and_adds, client)
    }
}

/// A server that knows a second try by its key.
pub fn right() -> Programs<In, Out> {
    scenario("quic", true)
}

/// A server that does not.
pub fn repeats() -> Programs<In, Out> {
    let because = "a client that hears nothing asks again, and both requests are added";
    Programs {
        expect: Expect::Violates { properties: &["linearizable"], because },
        ..scenario("quic-repeats", false)
    }
}
