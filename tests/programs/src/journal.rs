//! A journal over gRPC, with tonic: records are appended by unary calls, which clients try again
//! until they are answered, and read as a stream.
//!
//! The right one syncs its file before it answers; the wrong one answers when the page cache of its
//! machine has the record. Both know an append that they have seen before.

use crate::ledger::Ledger;
use prost::Message;
use seedfall::checkers::models::{Log, LogInput as In, LogOutput as Out};
use seedfall::programs::{Answer, Process, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_stream::StreamExt;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// A record, with who appends it and how many it appended before: so that one that is appended
/// again is known.
#[derive(Clone, PartialEq, Message)]
pub struct Append {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    record: u64,
}

/// The place of a record.
#[derive(Clone, PartialEq, Message)]
pub struct Offset {
    #[prost(uint64, tag = "1")]
    offset: u64,
}

/// Asks for all records.
#[derive(Clone, PartialEq, Message)]
pub struct All {}

struct Records {
    all: Vec<Append>,
    file: Ledger,
}

/// The service, as `tonic-build` would generate it.
#[derive(Clone)]
struct Journal {
    records: Arc<Mutex<Records>>,
    syncs: bool,
}

impl Journal {
    async fn append(&self, append: Append) -> Offset {
        let mut records = self.records.lock().await;
        let known = records.all.iter().position(|one| one.key == append.key);
        if let Some(known) = known {
            return Offset { offset: known as u64 };
        }
        let line = format!("{} {}", append.key, append.record);
        records.file.append(&line).await;
        if self.syncs {
            records.file.sync().await;
        }
        records.all.push(append);
        Offset { offset: records.all.len() as u64 - 1 }
    }
}

impl UnaryService<Append> for Journal {
    type Response = Offset;
    type Future = BoxFuture<Response<Offset>, Status>;

    fn call(&mut self, request: Request<Append>) -> Self::Future {
        let own = self.clone();
        // A task of its own: a client that gives up must not stop it midway.
        let task = tokio::spawn(async move { own.append(request.into_inner()).await });
        Box::pin(async move {
            task.await.map(Response::new).map_err(|error| Status::internal(error.to_string()))
        })
    }
}

type Stream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Append, Status>> + Send>>;

impl ServerStreamingService<All> for Journal {
    type Response = Append;
    type ResponseStream = Stream;
    type Future = BoxFuture<Response<Stream>, Status>;

    fn call(&mut self, _: Request<All>) -> Self::Future {
        let records = self.records.clone();
        Box::pin(async move {
            let all = records.lock().await.all.clone();
            let stream: Stream = Box::pin(tokio_stream::iter(all.into_iter().map(Ok)));
            Ok(Response::new(stream))
        })
    }
}

impl NamedService for Journal {
    const NAME: &'static str = "seedfall.Journal";
}

impl<B> Service<http::Request<B>> for Journal
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/seedfall.Journal/Append" => {
                    let codec = ProstCodec::<Offset, Append>::default();
                    Grpc::new(codec).unary(own, request).await
                }
                _ => {
                    let codec = ProstCodec::<Append, All>::default();
                    Grpc::new(codec).server_streaming(own, request).await
                }
            })
        })
    }
}

/// The service's `main`.
#[tokio::main(flavor = "current_thread")]
async fn serve(syncs: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (file, old) = Ledger::open("records", true).await?;
    let read = |line: &str| {
        let (key, record) = line.split_once(' ')?;
        Some(Append { key: key.to_owned(), record: record.parse().ok()? })
    };
    let all = old.iter().filter_map(|line| read(line)).collect();
    let records = Arc::new(Mutex::new(Records { all, file }));
    let server = tonic::transport::Server::builder().add_service(Journal { records, syncs });
    Ok(server.serve("0.0.0.0:50051".parse()?).await?)
}

/// A client, which tries each append up to five times.
#[tokio::main(flavor = "current_thread")]
async fn client(mut session: Session<In<u64>, Out<u64>>) {
    let patience = Duration::from_millis(250);
    let endpoint = Endpoint::from_static("http://journal:50051");
    let channel = endpoint.timeout(patience).connect_timeout(patience).connect_lazy();
    let mut appended = 0;
    while let Some(input) = session.next().await {
        appended += 1;
        let key = format!("client{}-{appended}", session.client() + 1);
        let mut answer = Answer::Indeterminate;
        for _ in 0..5 {
            match ask(&channel, &input, &key).await {
                Ok(output) => {
                    answer = Answer::Ok(output);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        session.answer(answer);
    }
}

async fn ask(channel: &Channel, input: &In<u64>, key: &str) -> Result<Out<u64>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    if let In::Append(record) = input {
        let append = Append { key: key.to_owned(), record: *record };
        let path = http::uri::PathAndQuery::from_static("/seedfall.Journal/Append");
        let codec = ProstCodec::<Append, Offset>::default();
        let answer = grpc.unary(Request::new(append), path, codec).await?;
        return Ok(Out::Offset(answer.into_inner().offset));
    }
    let path = http::uri::PathAndQuery::from_static("/seedfall.Journal/Read");
    let codec = ProstCodec::<All, Append>::default();
    let stream = grpc.server_streaming(Request::new(All {}), path, codec).await?.into_inner();
    let all: Result<Vec<Append>, Status> = stream.collect().await;
    Ok(Out::Records(all?.into_iter().map(|one| one.record).collect()))
}

fn scenario(
    name: &'static str,
    syncs: bool,
    expect: Expect<Process>,
) -> Programs<In<u64>, Out<u64>> {
    Programs {
        story: "Two clients append to a journal over gRPC, and read it as a stream.",
        nodes: vec![Program::new("journal", move || serve(syncs).expect("it can serve"))],
        operations: 6,
        faults: Swarm::ALL,
        properties: vec![linearizable(Log::new()), every_operation_completes()],
        expect,
        ..Programs::new(
            name,
            |op, draw| if draw.below(3) == 0 { In::ReadAll } else { In::Append(op.unique()) },
            client,
        )
    }
}

/// The journal that syncs before it answers.
pub fn right() -> Programs<In<u64>, Out<u64>> {
    scenario("journal", true, Expect::Holds)
}

/// The journal that answers before its disk has the record.
pub fn wrong() -> Programs<In<u64>, Out<u64>> {
    let because = "it acknowledges a record that its disk does not have yet";
    scenario("journal-unsynced", false, Expect::Violates { properties: &["linearizable"], because })
}
