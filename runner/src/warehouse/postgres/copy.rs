//! Rows in the form of binary COPY: fields in the order of the table's statements, what does not fit in `_headwater_extra`.

use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Transaction;
use futures::SinkExt;
use headwater_core::object::{Op, Type};
use jiff::Timestamp;

use super::{
    explain::Trouble,
    fold::{Item, Write},
    grow::Known,
    value::{Fit, Keys, put, put_field},
};
use crate::warehouse::{
    books,
    known::Places,
    table::{Batch, Cell, Column, Layout, Row},
};

/// Bytes that are sent at once.
const CHUNK: usize = 128 << 10;
/// What a row may take in its page, in bytes: Postgres' 8 KiB less what it needs itself.
const PAGE: usize = 7 << 10;
/// What every binary COPY begins with: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What all rows of a load have in common.
pub struct Stamp<'a> {
    /// The load's id.
    pub load: &'a str,
    /// The version of rows that bring none.
    pub version: i64,
    /// When it is loaded.
    pub now: Timestamp,
}

/// Writes the rows of one batch as fields.
pub struct Sheet<'a> {
    stamp: &'a Stamp<'a>,
    layout: Layout,
    columns: &'a [Column],
    /// Of each column of the batch, its place among the written ones.
    slots: Vec<Option<usize>>,
    /// Of each written column that is not Headwater's own, its type.
    kinds: Vec<Type>,
    keys: usize,
    /// Of each of them, where the row at hand has its value.
    cells: Vec<Option<usize>>,
    /// Places of values that found no column.
    homeless: Vec<usize>,
}

/// What became of the values of some rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Values that their column could not hold whole.
    pub unfit: u64,
}

impl<'a> Sheet<'a> {
    pub fn new(known: &Known, batch: &'a Batch, places: &Places, stamp: &'a Stamp<'a>) -> Self {
        let (table, texts) = (&known.table, &known.texts);
        let mut slot_of = vec![None; table.columns.len()];
        for (slot, place) in texts.order[..texts.plain].iter().enumerate() {
            slot_of[*place] = Some(slot);
        }
        let kind = |place: &usize| table.columns[*place].kind.unwrap_or(Type::Text);
        Self {
            stamp,
            layout: table.layout,
            columns: batch.columns(),
            slots: places.iter().map(|place| place.and_then(|place| slot_of[place])).collect(),
            kinds: texts.order[..texts.plain].iter().map(kind).collect(),
            keys: texts.keys,
            cells: vec![None; texts.plain],
            homeless: Vec::new(),
        }
    }

    /// Finds the row's cells; of two for the same column the last counts.
    fn lay(&mut self, row: &Row) {
        self.cells.fill(None);
        self.homeless.clear();
        for (at, (column, _)) in row.cells.iter().enumerate() {
            match self.slots.get(*column as usize) {
                Some(Some(slot)) => self.cells[*slot] = Some(at),
                _ => self.homeless.push(at),
            }
        }
    }

    /// Appends the row's key, field by field, to `out`; none if its columns cannot hold it.
    pub fn key(&mut self, row: &Row, out: &mut [Keys]) -> Option<()> {
        self.lay(row);
        for (slot, column) in out.iter_mut().enumerate() {
            let cell = self.cells[slot].map(|at| &row.cells[at].1).filter(|cell| **cell != Cell::Null)?;
            let cell = plain_key(cell);
            (put(&mut column.fields, self.kinds[slot], &cell) == Fit::Whole).then_some(())?;
            column.count += 1;
        }
        Some(())
    }

    /// Appends a row; in the temporary table it says at its end which columns it gives.
    fn row(&mut self, item: &Item<'_>, is_staged: bool, told: &mut Told, out: &mut BytesMut) {
        let row: &Row = &item.row;
        self.lay(row);
        let fields = self.kinds.len() + self.layout.system().len() + usize::from(is_staged);
        out.put_i16(fields as i16);
        for (slot, kind) in self.kinds.iter().enumerate() {
            let Some(at) = self.cells[slot] else {
                out.put_i32(-1);
                continue;
            };
            if put(out, *kind, &row.cells[at].1) != Fit::Whole {
                told.unfit += 1;
                self.homeless.push(at);
            }
        }
        for (own, _) in self.layout.system() {
            match *own {
                "received_at" => put_time(out, row.meta.received_at),
                "uuid_ts" => put_time(out, self.stamp.now),
                "is_deleted" => {
                    out.put_i32(1);
                    out.put_u8(u8::from(row.deleted || row.op == Op::Delete));
                }
                "_headwater_version" => {
                    out.put_i32(8);
                    out.put_i64(row.version.unwrap_or(self.stamp.version));
                }
                "_headwater_pass" => put_field(out, row.meta.pass.as_deref()),
                "_headwater_load" => put_field(out, Some(self.stamp.load)),
                "_headwater_delivery" => put_field(out, row.meta.delivery.as_deref()),
                _ => {
                    let homeless = self.homeless.iter().map(|at| &row.cells[*at]);
                    put_field(out, books::extra(self.columns, row, homeless).as_deref());
                }
            }
        }
        if is_staged {
            match item.write {
                Write::Part => {
                    let mut given = vec![0u8; self.kinds.len().div_ceil(8)];
                    for slot in (self.keys..self.kinds.len()).filter(|slot| self.cells[*slot].is_some()) {
                        given[slot / 8] |= 1 << (slot % 8);
                    }
                    out.put_i32(given.len() as i32);
                    out.put_slice(&given);
                }
                _ => out.put_i32(-1),
            }
        }
    }

    /// Sends rows by COPY: behind the statements `before` it, and ahead of those `after` it. They go out together.
    pub async fn copy(
        &mut self,
        tx: &Transaction<'_>,
        (before, statement, after): (&str, &str, &str),
        items: &[Item<'_>],
        is_staged: bool,
    ) -> Result<Told, Trouble> {
        let statement = tx.prepare_cached(statement).await?;
        let ((), sink) = futures::try_join!(tx.batch_execute(before), tx.copy_in::<_, Bytes>(&statement))?;
        let mut sink = std::pin::pin!(sink);
        let mut told = Told::default();
        let mut out = BytesMut::with_capacity(CHUNK + CHUNK / 4);
        out.put_slice(HEADER);
        for item in items {
            self.row(item, is_staged, &mut told, &mut out);
            if out.len() >= CHUNK {
                sink.send(out.split().freeze()).await?;
                out.reserve(CHUNK + CHUNK / 4);
            }
        }
        out.put_i16(-1);
        sink.send(out.freeze()).await?;
        futures::try_join!(sink.finish(), tx.batch_execute(after))?;
        Ok(told)
    }

    /// Moves values out of a row that does not fit into a page, until it does: they go to `_headwater_extra`, the last first.
    /// False if there is nothing to be moved.
    pub fn shrink(&mut self, row: &mut Row) -> bool {
        self.lay(row);
        let mut taken = 0;
        let mut moved = Vec::new();
        for slot in 0..self.kinds.len() {
            let Some(at) = self.cells[slot] else { continue };
            // Long values are moved out of the page, but for eighteen bytes.
            let size = match &row.cells[at].1 {
                Cell::Null => 0,
                Cell::Text(text) | Cell::Json(text) | Cell::Numeric(text) => (text.len() + 4).min(24),
                _ => 8,
            };
            taken += size;
            if taken > PAGE && slot >= self.keys && size > 0 {
                taken -= size;
                moved.push(at);
            }
        }
        for at in &moved {
            let (column, cell) = &row.cells[*at];
            if let Some(column) = self.columns.get(*column as usize) {
                let path = column.path.strip_prefix('=').unwrap_or(&column.path);
                row.extra.push((path.to_owned(), cell.json().to_string()));
            }
            row.cells[*at].1 = Cell::Null;
        }
        !moved.is_empty()
    }
}

/// A key as it is compared: Postgres takes 0.0 and −0.0 for the same.
fn plain_key(cell: &Cell) -> std::borrow::Cow<'_, Cell> {
    match cell {
        Cell::Real(number) if *number == 0.0 => std::borrow::Cow::Owned(Cell::Real(0.0)),
        _ => std::borrow::Cow::Borrowed(cell),
    }
}

fn put_time(out: &mut BytesMut, time: Timestamp) {
    put(out, Type::Time, &Cell::Time(time));
}
