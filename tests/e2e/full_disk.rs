//! A disk that is full: deliveries are answered 503 with Retry-After, nothing acknowledged is lost, and it goes on once there is room.

use serde_json::json;

use crate::{
    disk::Disk,
    house::{House, until},
    received::Site,
};

#[test]
fn a_full_inbox_is_answered_503_and_recovers() {
    let house = House::new("[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n");
    // The inbox refuses while less than 64 MiB are free.
    let disk = match Disk::mount(80) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("SKIPPED: a full disk needs a small tmpfs, which only root may mount here: {why}");
            return;
        }
    };
    std::fs::create_dir(house.path("headwater-data")).unwrap();
    std::os::unix::fs::symlink(disk.path(), house.path("headwater-data/inbox")).unwrap();
    let site = Site::at(house);
    let mut kept = Vec::new();
    let mut refused = None;
    let batch = |id: &str| {
        let call = |n: usize| json!({ "type": "track", "event": "F", "userId": "u", "messageId": format!("{id}-{n}"), "properties": { "x": "x".repeat(30 << 10) } });
        site.post(
            "/v1/batch",
            &[],
            json!({ "writeKey": "wk", "batch": (0..15).map(call).collect::<Vec<_>>() }).to_string(),
        )
    };
    for n in 0..200 {
        let id = format!("full-{n}");
        match batch(&id) {
            (200, ..) => kept.extend((0..15).map(|n| format!("{id}-{n}"))),
            answer => {
                refused = Some(answer);
                break;
            }
        }
    }
    let (status, headers, text) = refused.expect("the disk is small");
    assert_eq!(status, 503, "{text}");
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && text.contains("\"success\":false"), "{text}");
    assert!(!kept.is_empty());
    assert_eq!(batch("again").0, 503, "still");
    until("what was acknowledged is in the warehouse", || {
        site.house.number("site", "SELECT count(DISTINCT id) FROM tracks") == kept.len() as i64
    });
    // Room again: it is noticed without a restart.
    disk.resize(400);
    until("deliveries are taken again", || {
        site.call("/v1/track", json!({ "event": "After", "userId": "u", "messageId": "after" })).0 == 200
    });
    site.arrives("after");
}
