//! The screen of `teredo top`.
//!
//! ```text
//!  ┌ status ─────────────┬ port ──────┐
//!  │                     │            │
//!  ├ traffic ────────────┴────────────┤
//!  ├ peers ───────────────────────────┤
//!  ├ drops ───────────────────────────┤
//!  └──────────────────────────────────┘
//! ```

use std::time::{Duration, SystemTime};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Padding, Paragraph, Row, Table};
use teredo_notify::types::{Peer, Phase, Role};

use super::history::{History, Look, PortSince, Rates};
use crate::status::text;
use crate::text::{bytes, plain, span};

/// The bars of a line of rates, from nothing to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Rates in a row of a table.
const SHORT: usize = 16;

/// Draws the node as it is now.
pub(super) fn draw(frame: &mut Frame<'_>, history: &History, now: SystemTime) {
    let Some(look) = history.last() else {
        return;
    };
    let status = text(&look.status, now);
    let status: Vec<&str> = status.lines().collect();
    let drops = drops(history, look);
    let has_peers = look.status.role == Role::Client;
    let [top, traffic, peers, dropped, keys] = Layout::vertical([
        Constraint::Length(height(status.len())),
        Constraint::Length(4),
        if has_peers {
            Constraint::Fill(1)
        } else {
            Constraint::Length(0)
        },
        Constraint::Length(height(drops.len().clamp(1, 8))),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(28)]).areas(top);
    let mut lines: Vec<Line<'_>> = status.into_iter().map(Line::raw).collect();
    if let Some(heading) = lines.first_mut() {
        heading.style = Style::new().bold().fg(match look.status.state {
            Phase::Qualified => Color::Green,
            Phase::Probe | Phase::Dormant => Color::Yellow,
            Phase::Offline | Phase::Unknown => Color::Red,
        });
    }
    frame.render_widget(Paragraph::new(lines).block(titled("status")), left);
    draw_ports(frame, history, right);
    draw_traffic(frame, history, traffic);
    if has_peers {
        draw_peers(frame, history, look, peers);
    }
    draw_drops(frame, drops, dropped);
    let note = match history.why_gone() {
        Some(why) => Line::from(format!(" {}: the last state is shown", plain(why))).red(),
        None => Line::from(" q ends").dim(),
    };
    frame.render_widget(note, keys);
}

fn draw_ports(frame: &mut Frame<'_>, history: &History, area: Rect) {
    let lines: Vec<Line<'_>> = history
        .ports()
        .map(|port| Line::from(port_line(port)))
        .collect();
    frame.render_widget(Paragraph::new(lines).block(titled("port")), area);
}

fn port_line(since: &PortSince) -> String {
    let time = humantime::format_rfc3339_seconds(since.wall).to_string();
    // hh:mm:ss of 2026-11-22T10:52:00Z
    let time = time.get(11..19).unwrap_or_default();
    let port = match since.port {
        0 => String::from("none"),
        port => port.to_string(),
    };
    match since.unseen {
        0 => format!("{time}  {port}"),
        more => format!("{time}  {port} (+{more})"),
    }
}

fn draw_traffic(frame: &mut Frame<'_>, history: &History, area: Rect) {
    let traffic = history.traffic();
    let width = usize::from(area.width.saturating_sub(26));
    let line = |name: &str, rates: &Rates| {
        let rate = format!("{}/s", bytes(rates.last()));
        Line::from(format!("{name}  {rate:>14}  {}", bars(rates, width)))
    };
    let lines = vec![line("Rx", &traffic.rx), line("Tx", &traffic.tx)];
    frame.render_widget(Paragraph::new(lines).block(titled("traffic")), area);
}

fn draw_peers(frame: &mut Frame<'_>, history: &History, look: &Look, area: Rect) {
    let Some(peers) = &look.peers else {
        let refused = "only root and the service's group may see the peers";
        frame.render_widget(Paragraph::new(refused.dim()).block(titled("peers")), area);
        return;
    };
    let rows = peers.iter().map(|peer| peer_row(history, peer));
    let widths = [
        Constraint::Min(24),
        Constraint::Length(21),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(SHORT as u16),
    ];
    let heading = Row::new(["peer", "path", "state", "heard", "rx/s", "tx/s", ""]);
    let table = Table::new(rows, widths)
        .header(heading.style(Style::new().bold()))
        .block(titled("peers"));
    frame.render_widget(table, area);
}

fn peer_row(history: &History, peer: &Peer) -> Row<'static> {
    let traffic = history.of_peer(&peer.address);
    let heard = peer.heard_ms.map(Duration::from_millis).map(span);
    let path = peer.path.map(|path| path.to_string());
    let last = |rates: Option<&Rates>| bytes(rates.map_or(0, Rates::last));
    Row::new([
        peer.address.to_string(),
        path.unwrap_or_else(|| String::from("-")),
        peer.state.name().to_owned(),
        heard.unwrap_or_else(|| String::from("-")),
        last(traffic.map(|traffic| &traffic.rx)),
        last(traffic.map(|traffic| &traffic.tx)),
        traffic.map_or_else(String::new, |traffic| bars(&traffic.rx, SHORT)),
    ])
}

/// The reasons that have occurred, the most frequent first.
fn drops(history: &History, look: &Look) -> Vec<[String; 4]> {
    let mut drops: Vec<_> = look
        .status
        .drops
        .iter()
        .filter(|&(_, &count)| count > 0)
        .collect();
    drops.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let row = |(reason, count): (&String, &u64)| {
        let rates = history.of_drop(reason);
        [
            plain(reason),
            count.to_string(),
            format!("{}/s", rates.map_or(0, Rates::last)),
            rates.map_or_else(String::new, |rates| bars(rates, SHORT)),
        ]
    };
    drops.into_iter().map(row).collect()
}

fn draw_drops(frame: &mut Frame<'_>, drops: Vec<[String; 4]>, area: Rect) {
    if drops.is_empty() {
        frame.render_widget(Paragraph::new("none".dim()).block(titled("drops")), area);
        return;
    }
    let widths = [
        Constraint::Length(28),
        Constraint::Length(12),
        Constraint::Length(10),
        Constraint::Length(SHORT as u16),
    ];
    let table = Table::new(drops.into_iter().map(Row::new), widths).block(titled("drops"));
    frame.render_widget(table, area);
}

/// The last rates as bars; the highest of them is a whole one.
fn bars(rates: &Rates, width: usize) -> String {
    let shown = rates.iter().skip(rates.iter().len().saturating_sub(width));
    let most = u128::from(shown.clone().max().unwrap_or(0).max(1));
    let full = BARS.len() as u128 - 1;
    let bar = |rate: u64| BARS[(u128::from(rate) * full).div_ceil(most) as usize];
    shown.map(bar).collect()
}

fn titled(title: &str) -> Block<'_> {
    Block::new()
        .borders(Borders::ALL)
        .title(format!(" {title} "))
        .padding(Padding::horizontal(1))
        .border_style(Style::new().dim())
}

fn height(lines: usize) -> u16 {
    u16::try_from(lines + 2).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
