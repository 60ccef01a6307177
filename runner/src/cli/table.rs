//! Tables for people: columns as wide as their widest cell.

/// Lines of a table, its head underlined.
pub fn lines(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let mut widths: Vec<usize> = head.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut out = vec![line(&mut head.iter().map(|name| (*name).to_owned()))];
    out.push(line(&mut widths.iter().map(|width| "─".repeat(*width))));
    out.extend(rows.iter().map(|row| line(&mut row.iter().cloned())));
    out
}
