//! Answers that are read as they come, and how large one may be.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use headwater_core::{
    auth::Auth,
    error::Kind,
    http::{Api, Client, Options},
    object::Request,
};

use crate::{
    VENDOR, plain, quick,
    server::{Server, reply},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lines() -> Vec<u8> {
    (0..100_000).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_stream_is_begun_again_where_it_was_left() {
    let server = Server::script(vec![reply(503, ""), reply(200, lines())]).await;
    let client = plain(&server);
    let mut body = client.open(Request::get("/export")).await.unwrap();
    let mut first = Vec::new();
    while first.len() < 300_000 {
        first.extend_from_slice(&body.next_chunk().await.unwrap().unwrap());
    }
    assert_eq!(body.offset(), first.len() as u64);
    drop(body);

    let mut again = client.open(Request::get("/export")).await.unwrap();
    again.skip(299_999).await.unwrap();
    assert_eq!(again.offset(), 299_999);
    let mut rest = Vec::new();
    while let Some(chunk) = again.next_chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert_eq!([&first[..299_999], &rest].concat(), lines());
    assert!(again.skip(1).await.is_err());
}

#[tokio::test]
async fn a_stream_that_breaks_or_stands_still_says_so() {
    let server =
        Server::script(vec![reply(200, lines()).cut(), reply(404, r#"{"message":"no file"}"#)]).await;
    let client = plain(&server);
    let mut body = client.open(Request::get("/export")).await.unwrap();
    let error = loop {
        match body.next_chunk().await {
            Ok(chunk) => assert!(chunk.is_some(), "the end was not missed"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.to_string().starts_with("GET api.vendor.example/export: the answer was cut"), "{error}");
    let error = client.open(Request::get("/export")).await.unwrap_err();
    assert!(error.message().ends_with("no file"), "{error}");
}

#[tokio::test]
async fn an_answer_may_be_only_so_large() {
    let options = |server: &Server| Options { max_answer: 1 << 20, ..quick(server) };
    let bomb = reply(200, gzip(&vec![b' '; 64 << 20])).with("content-encoding", "gzip");
    for large in [reply(200, vec![b' '; (1 << 20) + 1]), bomb] {
        let server = Server::script(vec![large]).await;
        let client = Client::new(Api::new(VENDOR, Auth::None), options(&server)).unwrap();
        let error = client.send(Request::get("/a")).await.unwrap_err();
        assert_eq!((error.kind(), server.asked().len()), (Kind::Unexpected, 1));
        assert!(error.message().contains("larger than 1 MiB"), "{error}");
    }
    let server = Server::script(vec![reply(200, vec![b' '; 1 << 20])]).await;
    let client = Client::new(Api::new(VENDOR, Auth::None), options(&server)).unwrap();
    assert_eq!(client.send(Request::get("/a")).await.unwrap().body.len(), 1 << 20);
}

#[tokio::test]
async fn gzip_is_asked_for_and_undone() {
    let server = Server::script(vec![reply(200, gzip(&lines())).with("content-encoding", "gzip")]).await;
    let answer = plain(&server).send(Request::get("/a")).await.unwrap();
    assert_eq!(answer.body, lines());
    assert!(server.asked()[0].header("accept-encoding").unwrap().contains("gzip"));
}

#[tokio::test]
async fn an_open_stream_keeps_nobody_out() {
    let server = Server::script(vec![reply(200, lines())]).await;
    let api = Api::new(VENDOR, Auth::None).limit(headwater_core::http::Limit::concurrent(1));
    let client = Client::new(api, quick(&server)).unwrap();
    let _open = client.open(Request::get("/export")).await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(5), client.send(Request::get("/a"))).await;
    assert!(other.is_ok_and(|answer| answer.is_ok()));
}
