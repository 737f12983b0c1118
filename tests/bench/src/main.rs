mod seedfall;
mod workload;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n: u64 = args[2].parse().unwrap();
    let done = match args[1].as_str() {
        "W1" => seedfall::ping_pong(n),
        "W3" => seedfall::broadcast(n),
        "W4" => seedfall::start_up(n),
        _ => panic!(),
    };
    println!("{done:?}");
    if args.len() > 3 { return; }
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let ns = t.tv_sec as f64 * 1e9 + t.tv_nsec as f64;
    println!("{done:?} {:.1} ns/event", ns / done.events as f64);
}
