//! A burst: batches of 100 calls at many times the rate at which the pipeline makes rows. The inbox takes all of it at once, the pipeline
//! drains it at its own pace.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::{
    Options, Result,
    load::{Load, Shape},
    receive::{self, Server},
};

/// `events burst`: measures the steady rate with a first load, then posts at `--times` as much.
pub fn bench(options: &Options) -> Result<()> {
    let seconds = options.number("seconds", 5.0);
    let times = options.number("times", 10.0);
    let server = Server::start("headwater", &options.folder())?;
    let send = |seconds: f64, rate: f64, seed: u64| -> Result<_> {
        receive::load(Load { to: server.address, shape: Shape::Batch, connections: 64, seconds, rate, seed })
    };
    let first = send(2.0, 0.0, 1)?;
    let began = Instant::now();
    let before = loaded(&server)?;
    let all = first.taken * 100;
    wait(&server, all)?;
    let steady = (all - before) as f64 / began.elapsed().as_secs_f64();
    println!("steady: {steady:.0} calls/s become rows");
    let burst = send(seconds, steady * times / 100.0, 1 << 40)?;
    let lag = all + burst.taken * 100 - loaded(&server)?;
    println!(
        "burst: {:.0} calls/s for {:.1} s ({:.1} times steady), {} refused, p50 {:.2} ms, p99 {:.2} ms, RSS {:.1} MiB, {lag} calls behind",
        burst.rate() * 100.0,
        burst.seconds,
        burst.rate() * 100.0 / steady,
        burst.refused,
        burst.p50,
        burst.p99,
        server.rss()
    );
    let began = Instant::now();
    wait(&server, all + burst.taken * 100)?;
    println!(
        "drained in {:.1} s, at {:.0} calls/s; peak {:.1} MiB",
        began.elapsed().as_secs_f64(),
        lag as f64 / began.elapsed().as_secs_f64(),
        server.peak()
    );
    Ok(())
}

/// `events run`: batches of 100 calls for some time, received and made into rows by one process.
pub fn run(options: &Options) -> Result<()> {
    let (seconds, rate) = (options.number("seconds", 20.0), options.number("rate", 0.0));
    let server = Server::start("headwater", &options.folder())?;
    let load = Load { to: server.address, shape: Shape::Batch, connections: 64, seconds, rate, seed: 1 };
    let began = Instant::now();
    let sender = std::thread::spawn(move || receive::load(load));
    println!("      s        rows   RSS MiB");
    while !sender.is_finished() {
        std::thread::sleep(Duration::from_secs(1));
        println!("{:>7.1} {:>11} {:>9.1}", began.elapsed().as_secs_f64(), loaded(&server)?, server.rss());
    }
    let done = sender.join().map_err(|_| "the load panicked")??;
    let (calls, now) = (done.taken * 100, loaded(&server)?);
    println!(
        "received {:.0} calls/s for {:.1} s, {} refused, p50 {:.2} ms, p99 {:.2} ms; meanwhile {:.0} calls/s became rows",
        done.rate() * 100.0,
        done.seconds,
        done.refused,
        done.p50,
        done.p99,
        now as f64 / began.elapsed().as_secs_f64()
    );
    let drain = Instant::now();
    wait(&server, calls)?;
    println!(
        "the other {} in {:.1} s, {:.0} calls/s; processor time {:.1} µs a call, peak {:.1} MiB",
        calls - now.min(calls),
        drain.elapsed().as_secs_f64(),
        (calls - now.min(calls)) as f64 / drain.elapsed().as_secs_f64(),
        server.cpu() as f64 * 1e4 / calls.max(1) as f64,
        server.peak()
    );
    Ok(())
}

fn wait(server: &Server, calls: u64) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(600);
    while loaded(server)? < calls {
        if Instant::now() > patience {
            return Err("the pipeline has not drained in ten minutes".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Calls that have become rows.
fn loaded(server: &Server) -> Result<u64> {
    let file = server.path("warehouse/site.db");
    if !file.exists() {
        return Ok(0);
    }
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(Duration::from_secs(5))?;
    let found = db.query_row(
        "SELECT json_extract(value, '$.delivered') FROM _headwater_progress WHERE key = 'calls'",
        [],
        |row| row.get::<_, i64>(0),
    );
    Ok(found.unwrap_or(0).unsigned_abs())
}
