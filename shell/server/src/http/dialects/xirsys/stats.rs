//! `/_stats/{channel}?l=turn:data&gs=2026:11&ge=2026:11:25&break=1`: sum, smallest, largest and number of what was relayed.
//!
//! Groups are times to any depth: year, month, day, hour, minute, in UTC; both ends are included. With `break` each group of the
//! start's depth is told for itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tandem_store::{Split, Step, Usage, UsageFilter};
use time::{Date, Duration, Month, OffsetDateTime, Time};

use super::{Failed, admit, done};
use crate::credentials::{Refused, Service};
use crate::http::asked::Asked;
use crate::unix_ms;

#[derive(Deserialize)]
pub(super) struct Wanted {
    l: Option<String>,
    gs: Option<String>,
    ge: Option<String>,
    #[serde(rename = "break")]
    apart: Option<String>,
}

type Asking = Result<Query<Wanted>, QueryRejection>;

pub(super) async fn of_all(State(service): State<Service>, asked: Asked, query: Asking) -> Result<Json<Value>, Failed> {
    answer(&service, &asked, None, query).await
}

pub(super) async fn of_channel(
    State(service): State<Service>,
    Path(channel): Path<String>,
    asked: Asked,
    query: Asking,
) -> Result<Json<Value>, Failed> {
    answer(&service, &asked, Some(channel), query).await
}

/// What is measured.
#[derive(Clone, Copy)]
enum Layer {
    Data,
    Sessions,
}

async fn answer(service: &Service, asked: &Asked, tag: Option<String>, query: Asking) -> Result<Json<Value>, Failed> {
    const MOST: u32 = 50_000;
    let application = admit(service, asked).await?;
    let Query(wanted) = query.map_err(|error| Refused::Malformed(error.body_text()))?;
    let layer = match wanted.l.as_deref() {
        Some("turn:data") => Layer::Data,
        Some("turn:sess") => Layer::Sessions,
        _ => return Err(Refused::Malformed("l: expected turn:data or turn:sess".to_owned()).into()),
    };
    let start = wanted.gs.as_deref().map(group).transpose()?;
    let end = wanted.ge.as_deref().map(group).transpose()?;
    let now = unix_ms() / 60_000;
    let filter = UsageFilter {
        applications: Some(vec![application.id]),
        tag,
        from: start.map_or(0, |group| group.begins),
        to: end.map_or(now.saturating_add(1), |group| group.ends),
    };
    let depth = start.or(end).map_or(1, |group| group.depth);
    let step = match depth {
        5 => Step::Minute,
        4 => Step::Hour,
        _ => Step::Day,
    };
    let found = service.store().usage(&filter, step, Split::None, MOST).await.map_err(Refused::from)?;
    let is_apart = wanted.apart.is_some_and(|word| word == "1" || word == "true");
    let mut groups: BTreeMap<String, Figures> = BTreeMap::new();
    for usage in &found {
        let name = if is_apart { name(usage.minute, depth) } else { String::new() };
        groups.entry(name).or_default().add(layer, usage);
    }
    let value = if is_apart {
        groups.into_iter().map(|(name, figures)| (name, figures.shown())).collect::<serde_json::Map<_, _>>().into()
    } else {
        groups.remove("").unwrap_or_default().shown()
    };
    Ok(done(value))
}

#[derive(Default)]
struct Figures {
    sum: u64,
    min: Option<u64>,
    max: u64,
    count: u64,
}

impl Figures {
    fn add(&mut self, layer: Layer, usage: &Usage) {
        // A session counts one.
        let (sum, least, most, count) = match layer {
            Layer::Data => (usage.relayed.bytes(), usage.least_bytes, usage.most_bytes, usage.lines),
            Layer::Sessions => (usage.relayed.sessions, 1, 1, usage.relayed.sessions),
        };
        if count == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(sum);
        self.min = Some(self.min.map_or(least, |min| min.min(least)));
        self.max = self.max.max(most);
        self.count = self.count.saturating_add(count);
    }

    fn shown(self) -> Value {
        json!({ "sum": self.sum, "min": self.min.unwrap_or(0), "max": self.max, "count": self.count })
    }
}

/// A time of some depth, in minutes of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    begins: u64,
    ends: u64,
    depth: usize,
}

/// `2026:11:25`.
fn group(text: &str) -> Result<Group, Refused> {
    let wrong = || Refused::Malformed("gs, ge: expected year:month:day:hour:minute, or the beginning of it".to_owned());
    let parts: Vec<u16> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>().ok_or_else(wrong)?;
    let part = |index: usize, usual| parts.get(index).copied().unwrap_or(usual);
    let small = |number: u16| u8::try_from(number).map_err(|_| wrong());
    if parts.len() > 5 || !(1970..=9000).contains(&part(0, 0)) {
        return Err(wrong());
    }
    let month = Month::try_from(small(part(1, 1))?).map_err(|_| wrong())?;
    let date = Date::from_calendar_date(i32::from(part(0, 0)), month, small(part(2, 1))?).map_err(|_| wrong())?;
    let time = Time::from_hms(small(part(3, 0))?, small(part(4, 0))?, 0).map_err(|_| wrong())?;
    let begins = date.with_time(time).assume_utc();
    let ends = match parts.len() {
        1 => Date::from_ordinal_date(date.year() + 1, 1).map_err(|_| wrong())?.midnight().assume_utc(),
        2 => {
            let year = if month == Month::December { date.year() + 1 } else { date.year() };
            Date::from_calendar_date(year, month.next(), 1).map_err(|_| wrong())?.midnight().assume_utc()
        }
        3 => begins + Duration::days(1),
        4 => begins + Duration::hours(1),
        _ => begins + Duration::minutes(1),
    };
    let minutes = |at: OffsetDateTime| u64::try_from(at.unix_timestamp() / 60).map_err(|_| wrong());
    Ok(Group { begins: minutes(begins)?, ends: minutes(ends)?, depth: parts.len() })
}

/// The group of this depth that a minute is in.
fn name(minute: u64, depth: usize) -> String {
    let seconds = i64::try_from(minute.saturating_mul(60)).unwrap_or(0);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let parts = [
        at.year().to_string(),
        u8::from(at.month()).to_string(),
        at.day().to_string(),
        at.hour().to_string(),
        at.minute().to_string(),
    ];
    parts.iter().take(depth).map(String::as_str).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_times_to_any_depth_with_both_ends() {
        let minutes = |text: &str| group(text).map(|group| (group.ends - group.begins, group.depth)).ok();
        assert_eq!(minutes("2026"), Some((365 * 1440, 1)));
        assert_eq!(minutes("2024:2"), Some((29 * 1440, 2)));
        assert_eq!(minutes("2026:12"), Some((31 * 1440, 2)));
        assert_eq!(minutes("2026:11:25"), Some((1440, 3)));
        assert_eq!(minutes("2026:11:25:7"), Some((60, 4)));
        assert_eq!(minutes("2026:11:25:7:59"), Some((1, 5)));
        for wrong in ["", "x", "2026:13", "2026:2:30", "2026:1:1:24", "2026:1:1:1:60", "2026:1:1:1:1:1", "-1", "99999"]
        {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
        let begins = group("2026:11:25:7:59").expect("a group").begins;
        assert_eq!((name(begins, 5).as_str(), name(begins, 2).as_str()), ("2026:11:25:7:59", "2026:11"));
    }
}
