//! Children that change without their parents: they are read again in every pass, under all parents that the warehouse has.

use headwater_core::{
    error::Result,
    object::{Collection, From, Origin, Reread},
    record::{Fields, Raw},
};

use super::{Outcome, batches::key, family::Family, session::Session};

/// Parents whose keys are asked for at once.
const PARENTS: usize = 500;

/// Reads the children that change without their parents, under every parent that the warehouse has.
pub(super) async fn rereads(family: &Family<'_>, outcome: &mut Outcome) -> Result<()> {
    let session = family.session;
    if family.pass.whole {
        return Ok(());
    }
    for (of, child) in session.rereads(family.collection.name) {
        let Some(parent) = session.find(of) else { continue };
        let (columns, paths) = lineage(parent, child);
        let mut after = None;
        loop {
            let rows = session.schema.keys(of, &columns, after.as_deref(), PARENTS).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last[..parent.key.len().min(last.len())].to_vec());
            for row in &rows {
                if session.is_stopping() {
                    outcome.stopped = true;
                    return Ok(());
                }
                let mut members = Fields::default();
                for (path, cell) in paths.iter().zip(row) {
                    members.set_at(path, Raw::new(&cell.json())?);
                }
                outcome.add(family.under(child, of, &members.record()).await?);
            }
        }
    }
    Ok(())
}

/// What has to be known of a parent to read a list under it: its columns, the key's first, and where its record has them.
fn lineage(parent: &Collection, child: &Collection) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut columns = parent.key.to_vec();
    let mut paths: Vec<&str> = key(parent)
        .into_iter()
        .zip(parent.key)
        .map(|(origin, column)| if let Origin::Record(path) = origin { path } else { column })
        .collect();
    for field in parent.fields().flatten() {
        let Origin::Record(path) = field.origin else { continue };
        let inherited = child.fields().flatten().any(|own| own.origin == Origin::Parent(path));
        let named = format!("{{^{path}}}");
        let asked = [child.endpoint.path, child.endpoint.body]
            .into_iter()
            .chain(child.endpoint.query.iter().chain(child.endpoint.headers).map(|(_, value)| *value))
            .any(|text| text.contains(&named));
        if (inherited || asked) && !columns.contains(&field.name) {
            columns.push(field.name);
            paths.push(path);
        }
    }
    (columns, paths)
}

impl Session {
    /// The children below `of`, at any depth, that are read again under all their parents; those below one of them are
    /// read with it.
    pub fn rereads<'a>(&'a self, of: &str) -> Vec<(&'static str, &'a Collection)> {
        let Some(parent) = self.find(of) else { return Vec::new() };
        let mut found = Vec::new();
        for child in self.children(of) {
            match child.from {
                From::Children { reread: Reread::Always, .. } => found.push((parent.name, child)),
                _ => found.extend(self.rereads(child.name)),
            }
        }
        found
    }
}
