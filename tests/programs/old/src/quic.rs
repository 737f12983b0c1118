//! quinn-proto, RUSTSEC-2024-0373: "Denial of service in Quinn endpoints using retry()".
//!
//! A server has a client prove its address first (`Incoming::retry`), and then, as it has too many
//! connections, refuses the one whose address is proven (`refuse`). The endpoint kept that one
//! under the identifier that the client's second Initial has, and forgets it under that of the
//! first. So the identifier stays, and leads to a place in a table that is empty: the next copy of
//! that packet, which the network repeats or the client sends again, panics.
//!
//! Model: one server over UDP that serves a counter, and accepts one connection at a time; it
//! never crashes, as it keeps it in memory.
//!
//! Property: no program panics. With quinn-proto 0.11.6 the server does; 0.11.7 mended it.

use crate::{STAYS_UP, expect};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::pem::PemObject;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::{ClientConfig, ConnectionError, Endpoint, ServerConfig, TransportConfig, VarInt};
use seedfall::checkers::models::{Counter, CounterInput as In, CounterOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{NEVER_PANICS, linearizable};
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;

/// For `server`, from 2000 to 2099. It is worth nothing outside of these tests.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBBjCBuaADAgECAgEBMAUGAytlcDARMQ8wDQYDVQQDDAZzZXJ2ZXIwIBcNMDAw
MTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBExDzANBgNVBAMMBnNlcnZlcjAq
MAUGAytlcAMhADT+MhElgk+doa9wmW+KZFH3s12V4pAqyyyQH7qrXxA4ozQwMjAR
BgNVHREECjAIggZzZXJ2ZXIwHQYDVR0OBBYEFHjQ5d0TdjoF9d9l6Q5WTgZuUn7G
MAUGAytlcANBAHw9Gu3cG4jl/i0Mirm2PcnnGbJXmFW1mTikySyTmMou/OdZZI1O
3rqX6suEeuEcpSSq2LReNf6nlEGOMUN/2wQ=
-----END CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFVkGkjCtyOZtbxZ51+e1E7ClsFJFe2RG5ciDhqa46Sx
-----END PRIVATE KEY-----";

/// How many connections the server has at a time.
const MOST: usize = 1;

type Any = Box<dyn Error>;

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate")
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> Result<(), Any> {
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes())?;
    let mut config = ServerConfig::with_single_cert(vec![certificate()], key)?;
    let mut transport = TransportConfig::default();
    // A client that goes away without a word keeps its place for no longer.
    transport.max_idle_timeout(Some(VarInt::from_u32(500).into()));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::server(config, "0.0.0.0:4433".parse()?)?;
    let count = Arc::new(AtomicI64::new(0));
    let room = Arc::new(Semaphore::new(MOST));
    while let Some(incoming) = endpoint.accept().await {
        if !incoming.remote_address_validated() {
            incoming.retry()?;
        } else if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
            let (connecting, count) = (incoming.accept()?, Arc::clone(&count));
            tokio::spawn(async move {
                let ended = talk(connecting, &count).await;
                drop(place);
                ended.map_err(drop)
            });
        } else {
            incoming.refuse();
        }
    }
    Ok(())
}

/// Answers what is asked over one connection: a stream says how much is added.
async fn talk(connecting: quinn::Connecting, count: &AtomicI64) -> Result<(), Any> {
    let connection = connecting.await?;
    loop {
        let (mut output, mut input) = connection.accept_bi().await?;
        let asked = input.read_to_end(64).await?;
        let amount: i64 = std::str::from_utf8(&asked)?.parse()?;
        let after = count.fetch_add(amount, SeqCst) + amount;
        output.write_all(after.to_string().as_bytes()).await?;
        output.finish()?;
    }
}

/// A client, which makes a connection for each operation.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In, Out>) {
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate()).expect("a certificate");
    let config = ClientConfig::with_root_certificates(Arc::new(trusted)).expect("a configuration");
    let mut endpoint = Endpoint::client(SocketAddr::from(([0; 4], 0))).expect("a socket");
    endpoint.set_default_client_config(config);
    let server = ("server", 4433).to_socket_addrs().ok().and_then(|mut all| all.next());
    let server = server.expect("it has an address");
    let patience = Duration::from_millis(500);
    while let Some(input) = session.next().await {
        let mut answer = Answer::Failed;
        for _ in 0..5 {
            let asked = tokio::time::timeout(patience, ask(&endpoint, server, &input)).await;
            answer = asked.ok().and_then(Result::ok).unwrap_or(Answer::Indeterminate);
            if answer != Answer::Failed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        session.answer(answer);
    }
}

async fn ask(endpoint: &Endpoint, server: SocketAddr, input: &In) -> Result<Answer<Out>, Any> {
    let connection = match endpoint.connect(server, "server")?.await {
        Ok(connection) => connection,
        // Refused: nothing was asked.
        Err(ConnectionError::ConnectionClosed(_)) => return Ok(Answer::Failed),
        Err(error) => return Err(error.into()),
    };
    let amount = if let In::AddAndRead(amount) = input { *amount } else { 0 };
    let (mut output, mut input) = connection.open_bi().await?;
    output.write_all(amount.to_string().as_bytes()).await?;
    output.finish()?;
    let after = String::from_utf8(input.read_to_end(64).await?)?.parse()?;
    connection.close(0u32.into(), b"");
    Ok(Answer::Ok(Out::Value(after)))
}

/// Clients for which there is no room at the same time.
pub fn scenario() -> Programs<In, Out> {
    let because = "the second copy of an Initial that was refused leads to a place that is empty \
                   (quinn-proto, RUSTSEC-2024-0373)";
    Programs {
        story: "Clients count over QUIC, with a server that wants proof of their addresses, and \
                has room for one of them.",
        nodes: vec![Program::new("server", || serve().expect("it can serve"))],
        faults: STAYS_UP,
        properties: vec![linearizable(Counter { initial: 0 })],
        expect: expect(&[NEVER_PANICS], because),
        ..Programs::new(
            "quic",
            |_, draw| match draw.below(2) {
                0 => In::Read,
                _ => In::AddAndRead(1 + draw.below(9) as i64),
            },
            client,
        )
    }
}
