//! The vendor: a list of orders over HTTP, paged by a token, as fast as a loopback connection takes it.
//!
//! Pages are made before the first is asked for. Sent again under another cursor, a page gets other ids: they are written
//! over at their places. So ten million rows need no more memory than the pages that differ.
//!
//! `GET /orders?limit=500&cursor=3` answers `{"data": […], "next": "4"}`; `next` is null on the last page.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use crate::record::{NUMBER, id, order};

/// So many records differ in more than their ids.
const DIFFERENT: u64 = 16_384;

/// What is served.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Rows of all pages.
    pub rows: u64,
    /// Rows of a page.
    pub page: u64,
}

struct Page {
    data: Vec<u8>,
    /// Where the ids begin, and the numbers.
    ids: Vec<(usize, usize)>,
}

/// Serves `list` for as long as the process runs; first `ready` is told the address.
pub fn serve(list: List, listener: TcpListener, ready: impl FnOnce(String)) {
    let pages: Arc<Vec<Page>> = Arc::new(
        (0..DIFFERENT.div_ceil(list.page)).map(|page| Page::new(page * list.page, list.page)).collect(),
    );
    ready(format!("http://{}", listener.local_addr().expect("an address")));
    for connection in listener.incoming().flatten() {
        let pages = pages.clone();
        std::thread::spawn(move || {
            let _ = answer(list, &pages, connection);
        });
    }
}

/// Answers what is asked on one connection, until it is closed.
fn answer(list: List, pages: &[Page], connection: TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut to = connection.try_clone()?;
    let mut from = BufReader::new(connection);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let asked = line.clone();
        while line != "\r\n" {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        body.clear();
        match asked.split(' ').nth(1).unwrap_or_default() {
            path if path.starts_with("/orders") => list.write(pages, cursor(path), &mut body),
            _ => body.extend_from_slice(br#"{"id":"acct_1","title":"Bench"}"#),
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        to.write_all(head.as_bytes())?;
        to.write_all(&body)?;
    }
}

/// The page that is asked for; the first, if none is.
fn cursor(path: &str) -> u64 {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let value = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

impl List {
    fn write(self, pages: &[Page], cursor: u64, out: &mut Vec<u8>) {
        let page = &pages[(cursor % pages.len() as u64) as usize];
        let first = cursor * self.page;
        let rows = self.rows.saturating_sub(first).min(self.page) as usize;
        let end = page.ids.get(rows).map_or(page.data.len(), |(id, _)| *id - r#",{"id":""#.len());
        out.extend_from_slice(&page.data[..end]);
        for (number, (id_at, number_at)) in (first..).zip(&page.ids[..rows]) {
            digits(&mut out[*id_at + 4..*id_at + 16], number);
            digits(&mut out[*number_at..*number_at + 12], NUMBER as u64 + number);
        }
        let next = match first + self.page < self.rows {
            true => format!(r#"],"next":"{}"}}"#, cursor + 1),
            false => r#"],"next":null}"#.to_owned(),
        };
        out.extend_from_slice(next.as_bytes());
    }
}

impl Page {
    fn new(first: u64, rows: u64) -> Self {
        let mut data = br#"{"data":["#.to_vec();
        let mut ids = Vec::new();
        for number in first..first + rows {
            let json = order(number);
            let place = |text: &str| data.len() + json.find(text).expect("it is in there");
            ids.push((place(&id(number)), place(&(NUMBER as u64 + number).to_string())));
            data.extend_from_slice(json.as_bytes());
            if number + 1 < first + rows {
                data.push(b',');
            }
        }
        Self { data, ids }
    }
}

/// Writes a number over digits.
fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
