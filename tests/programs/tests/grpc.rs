//! tonic, as it is: unary calls and a stream, with a partition and a crash.

use seedfall_kernel::{ClientContext, Ended, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A service whose state changes all the time.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn server() {
    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(async move {
        for turn in 0_u64.. {
            let status = match turn % 2 {
                0 => ServingStatus::Serving,
                _ => ServingStatus::NotServing,
            };
            reporter.set_service_status("store", status).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let server = tonic::transport::Server::builder().add_service(service);
    server.serve("0.0.0.0:50051".parse().unwrap()).await.unwrap();
}

fn request() -> HealthCheckRequest {
    HealthCheckRequest { service: "store".to_owned() }
}

/// Asks again and again.
#[tokio::main(flavor = "current_thread")]
async fn asks(context: ClientContext) {
    let second = Duration::from_secs(1);
    let endpoint = Endpoint::from_static("http://server:50051").timeout(second);
    let mut client = HealthClient::new(endpoint.connect_timeout(second).connect_lazy());
    for _ in 0..50 {
        let answer = client.check(request()).await;
        context.record(match answer {
            Ok(answer) => format!("answer {}", answer.into_inner().status),
            Err(status) => format!("error {:?}", status.code()),
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Watches a stream, and begins anew when it breaks.
#[tokio::main(flavor = "current_thread")]
async fn watches(context: ClientContext) {
    let endpoint = Endpoint::from_static("http://server:50051")
        .http2_keep_alive_interval(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true);
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let mut seen = 0;
    while seen < 12 {
        if let Ok(stream) = client.watch(request()).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(change)) = stream.message().await {
                seen += 1;
                context.record(format!("change {}", change.status));
            }
            context.record("broken");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn run(seed: u64) -> Report {
    Simulation::new(seed)
        .node("server", server)
        .client_main("asks", asks)
        .client_main("watches", watches)
        .partition(Span::secs(2), Span::secs(5), &["watches"])
        .crash(Span::secs(6), Span::secs(8), "server")
        .horizon(Span::secs(20))
        .run()
}

#[test]
fn unary_calls_and_streams_survive_a_partition_and_a_crash() {
    isolated(|| {
        for seed in 0..10 {
            let report = run(seed);
            assert_eq!(report.failures, [], "seed {seed}");
            assert_ne!(report.ended, Ended::Stopped);
            let notes = report.notes_as_text();
            let count = |what: &str| notes.iter().filter(|one| one.starts_with(what)).count();
            if seed == 0 {
                let (answers, errors) = (count("answer"), count("error"));
                println!("{answers} answers, {errors} errors, {} changes", count("change"));
            }
            assert!(count("answer") > 10 && count("error") > 0, "{notes:?}");
            assert!(count("change") > 5 && count("broken") > 0, "{notes:?}");
            assert_eq!(run(seed).hash, report.hash, "seed {seed}");
        }
    });
}
