//! Graphs as a picture: SVG, from left to right, the same for the same graph.

use std::fmt::Write;

use kiln_plugin::Lowered;

use super::text::label;

/// Size of a box, and of the room between boxes, in pixels.
const BOX: (usize, usize) = (240, 32);
const ROOM: (usize, usize) = (60, 16);
/// Most characters in a box.
const TEXT: usize = 34;

/// Where a box is: column and row.
type Place = (usize, usize);

/// Returns the graph as SVG.
pub(crate) fn svg(lowered: &Lowered) -> String {
    let vertices = &lowered.definition.vertices;
    let mut columns: Vec<usize> = Vec::with_capacity(vertices.len());
    let mut rows: Vec<usize> = Vec::new();
    let mut place = |column: usize| -> Place {
        if rows.len() <= column {
            rows.resize(column + 1, 0);
        }
        rows[column] += 1;
        (column, rows[column] - 1)
    };
    let (mut boxes, mut edges) = (String::new(), String::new());
    let mut places: Vec<Place> = Vec::with_capacity(vertices.len());
    for vertex in vertices {
        // Inputs come before: the graph has been checked.
        let inputs: Vec<usize> = vertex
            .op
            .inputs()
            .iter()
            .map(|input| input.vertex as usize)
            .collect();
        let column = inputs
            .iter()
            .filter_map(|at| columns.get(*at))
            .max()
            .map_or(0, |at| at + 1);
        columns.push(column);
        let own = place(column);
        places.push(own);
        draw(&mut boxes, own, &label(vertex), "#e8eef7");
        for from in inputs.iter().filter_map(|at| places.get(*at)) {
            connect(&mut edges, *from, own);
        }
    }
    for output in &lowered.outputs {
        let from = output
            .result
            .and_then(|input| places.get(input.vertex as usize).copied());
        let own = place(from.map_or(0, |(column, _)| column + 1));
        let platform = output.platform.as_ref().map(ToString::to_string);
        draw(
            &mut boxes,
            own,
            &platform.unwrap_or_else(|| "image".to_owned()),
            "#e4f2e4",
        );
        if let Some(from) = from {
            connect(&mut edges, from, own);
        }
    }
    let width = rows.len() * (BOX.0 + ROOM.0) + ROOM.0;
    let height = rows.iter().max().copied().unwrap_or(0) * (BOX.1 + ROOM.1) + ROOM.1;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<g fill=\"none\" stroke=\"#888\">\n{edges}</g>\n{boxes}</svg>\n"
    )
}

fn corner((column, row): Place) -> (usize, usize) {
    (
        ROOM.0 + column * (BOX.0 + ROOM.0),
        ROOM.1 + row * (BOX.1 + ROOM.1),
    )
}

fn draw(out: &mut String, place: Place, text: &str, colour: &str) {
    let ((x, y), (width, height)) = (corner(place), BOX);
    let full = escaped(text);
    let short: String = text.chars().take(TEXT).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    _ = writeln!(
        out,
        "<g><title>{full}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\" \
         fill=\"{colour}\" stroke=\"#557\"/><text x=\"{}\" y=\"{}\">{}{cut}</text></g>",
        x + 6,
        y + 20,
        escaped(&short),
    );
}

fn connect(out: &mut String, from: Place, to: Place) {
    let ((x, y), (to_x, to_y)) = (corner(from), corner(to));
    let (x, y, to_y) = (x + BOX.0, y + BOX.1 / 2, to_y + BOX.1 / 2);
    let (near, far) = (x + ROOM.0 / 2, to_x.saturating_sub(ROOM.0 / 2));
    _ = writeln!(
        out,
        "<path d=\"M{x} {y}C{near} {y} {far} {to_y} {to_x} {to_y}\"/>"
    );
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
