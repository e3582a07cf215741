//! A log of several streams: `<name>`, then `<name>_v2`, `<name>_v3` and so on, each of which goes
//! on where the one before ended, so that a position stays a stream sequence.
//!
//! A stream that goes on after a loss says in its metadata ([`AFTER`]) which position it follows;
//! what lies between is not of the log any more, even where an older stream still holds it. That is
//! only where to read: whether the jump is lawful is for those to say who know the records.
//!
//! A closed stream is sealed and its subject was moved aside, below the same first token. Nobody
//! but the current stream can take the subject, so a first stream that is open is the whole log:
//! one request finds it. Only behind a closed or missing one are the later ones looked for, all at
//! once. Next: [`super::read`].

use canonry_schemas::limits::{AUDITED_VOLUMES, VOLUMES};
use serde_json::Value;

use super::Log;
use crate::api::STREAM_NOT_FOUND;
use crate::error::Error;

/// In a stream's metadata: the position that it follows, where that is not the one before its
/// first.
pub const AFTER: &str = "canonry_after";

/// One stream of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// 1 for the first.
    pub number: u32,
    /// Its stream.
    pub stream: String,
    /// Its first position, as it was made.
    pub first: u64,
    /// The highest position that it had given out when it was looked at.
    pub last: u64,
    /// The position that it follows.
    pub after: u64,
    /// Whether it is closed.
    pub closed: bool,
    /// The filter of consumers.
    pub(crate) filter: Option<String>,
}

/// Where a position is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'v> {
    /// In this volume, whose last position in the log is this one; `None` while it grows.
    In(&'v Volume, Option<u64>),
    /// The log goes on at a later position.
    Jump(u64),
    /// Nowhere; the next position that there is.
    Nowhere(Option<u64>),
}

/// The name of a log's stream.
#[must_use]
pub fn stream_of(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}_v{number}") }
}

impl Volume {
    fn read(name: &str, number: u32, info: &Value) -> Self {
        let config = &info["config"];
        // A mirror is not told where it begins: its first message says it. The first one begins
        // at 1 whatever it holds, so that what it lost is missed.
        let begin = if number > 1 && is_mirror(info) { &info["state"] } else { config };
        let first = begin["first_seq"].as_u64().unwrap_or(1).max(1);
        let after = config["metadata"][AFTER].as_str().and_then(|text| text.parse().ok());
        let closed = config["sealed"] == true;
        let subjects = config["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        let filter = match subjects {
            [Value::String(aside)] if closed => {
                aside.split('.').next().map(|token| format!("{token}.>"))
            }
            [Value::String(only)] => Some(only.clone()),
            _ => None,
        };
        Self {
            number,
            stream: stream_of(name, number),
            first,
            last: info["state"]["last_seq"].as_u64().unwrap_or(0).max(first - 1),
            after: after.unwrap_or(first - 1),
            closed,
            filter,
        }
    }
}

/// The last position of volume `index` that is of the log.
pub(super) fn end(volumes: &[Volume], index: usize) -> Option<u64> {
    let later = volumes[index + 1..].iter().map(|v| v.after).min();
    match &volumes[index] {
        own if own.closed => Some(later.map_or(own.last, |after| after)),
        _ => later,
    }
}

/// Where `position` is.
pub(crate) fn place(volumes: &[Volume], position: u64) -> Place<'_> {
    for (index, volume) in volumes.iter().enumerate().rev() {
        let end = end(volumes, index);
        let last = index + 1 == volumes.len();
        if position >= volume.first && (last || end.is_none_or(|end| position <= end)) {
            return Place::In(volume, end);
        }
    }
    // A volume that begins beyond a loss which a later repair names is of the log no more.
    let counts = |(index, volume): &(usize, &Volume)| {
        index + 1 == volumes.len() || end(volumes, *index).is_none_or(|end| end >= volume.first)
    };
    let next = volumes.iter().enumerate().filter(counts).map(|(_, v)| v);
    match next.into_iter().find(|v| v.first > position) {
        Some(next) if next.after + 1 == position => Place::Jump(next.first),
        next => Place::Nowhere(next.map(|v| v.first)),
    }
}

impl Log {
    /// The volumes as they were last seen, in order.
    #[must_use]
    pub fn volumes(&self) -> std::sync::Arc<Vec<Volume>> {
        let known = self.volumes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::sync::Arc::clone(&known)
    }

    /// Whether the log leaves this position out: a later volume goes on beyond it.
    #[must_use]
    pub fn leaves_out(&self, position: u64) -> bool {
        let volumes = self.volumes();
        let behind = |v: &Volume| v.after < position && position < v.first;
        volumes.iter().any(behind) && !matches!(place(&volumes, position), Place::In(..))
    }

    /// Where the log goes on behind a position: at the next one, or beyond what it leaves out.
    #[must_use]
    pub fn next_after(&self, position: u64) -> u64 {
        match place(&self.volumes(), position + 1) {
            Place::Jump(to) => to,
            _ => position + 1,
        }
    }

    /// The volume that grows, or the last one while none does.
    pub(crate) fn current(&self) -> Option<Volume> {
        self.volumes().last().cloned()
    }

    /// Whether a stream of this name is a volume of this log.
    pub(crate) fn is_volume(&self, stream: &str) -> bool {
        let number = match stream.strip_prefix(self.stream.as_str()) {
            Some("") => Some(1),
            Some(rest) => rest.strip_prefix("_v").and_then(|n| n.parse().ok()),
            None => None,
        };
        number.is_some_and(|number| stream_of(&self.stream, number) == stream)
    }

    /// Takes up what the server said of the volume that grows; looks for others where it does not.
    pub(crate) async fn look(&self) -> Result<Value, Error> {
        if let Some(current) = self.current().filter(|v| !v.closed) {
            let info = self.stream_info(&current.stream).await;
            if let Some(info) = found(info)? {
                let now = Volume::read(&self.stream, current.number, &info);
                // A mirror is never closed: whether there is a later one is asked each time.
                if !now.closed && !is_mirror(&info) {
                    let mut volumes = self.volumes().as_ref().clone();
                    if let Some(last) = volumes.last_mut() {
                        *last = now;
                    }
                    self.keep(volumes);
                    return Ok(info);
                }
            }
        }
        self.discover().await
    }

    /// Looks for every volume. Answers what the server says of the last one.
    async fn discover(&self) -> Result<Value, Error> {
        let mut mirrored = false;
        let first = self.stream_info(&self.stream).await;
        let missing = match first {
            Ok(info) => {
                let volume = Volume::read(&self.stream, 1, &info);
                mirrored = is_mirror(&info);
                if !volume.closed && !mirrored {
                    self.keep(vec![volume]);
                    return Ok(info);
                }
                Ok((volume, info))
            }
            Err(error) if error.api_code() == Some(STREAM_NOT_FOUND) => Err(error),
            Err(error) => return Err(error),
        };
        let most = if mirrored { AUDITED_VOLUMES } else { VOLUMES };
        let later = (2..=most).map(|number| async move {
            let info = self.stream_info(&stream_of(&self.stream, number)).await;
            // A mirror that holds nothing yet does not say where it will begin.
            let info =
                found(info)?.filter(|info| !is_mirror(info) || info["state"]["messages"] != 0);
            Ok(info.map(|info| (Volume::read(&self.stream, number, &info), info)))
        });
        let later = futures_util::future::try_join_all(later).await?;
        let (mut volumes, mut last) = (Vec::new(), None);
        let first = missing.as_ref().ok().cloned();
        for (volume, info) in first.into_iter().chain(later.into_iter().flatten()) {
            volumes.push(volume);
            last = Some(info);
        }
        match (last, missing) {
            (Some(info), _) => {
                self.keep(volumes);
                Ok(info)
            }
            (None, Err(error)) => Err(error),
            (None, Ok((_, info))) => Ok(info),
        }
    }

    async fn stream_info(&self, stream: &str) -> Result<Value, Error> {
        self.conn.js_request(&format!("STREAM.INFO.{stream}"), &Value::Null).await
    }

    fn keep(&self, volumes: Vec<Volume>) {
        let mut known = self.volumes.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = std::sync::Arc::new(volumes);
    }
}

/// Whether a stream follows another.
fn is_mirror(info: &Value) -> bool {
    info["config"]["mirror"].is_object()
}

fn found(info: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match info {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.api_code() == Some(STREAM_NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(number: u32, first: u64, last: u64, after: u64, closed: bool) -> Volume {
        let stream = stream_of("L", number);
        Volume { number, stream, first, last, after, closed, filter: None }
    }

    fn at(volumes: &[Volume], position: u64) -> (u32, Option<u64>) {
        match place(volumes, position) {
            Place::In(volume, end) => (volume.number, end),
            Place::Jump(to) => (0, Some(to)),
            Place::Nowhere(next) => (9, next),
        }
    }

    #[test]
    fn one_goes_on_where_the_other_ended() {
        let volumes = [volume(1, 1, 10, 0, true), volume(2, 11, 15, 10, false)];
        assert_eq!(
            [1, 10, 11, 99].map(|p| at(&volumes, p)),
            [(1, Some(10)), (1, Some(10)), (2, None), (2, None)]
        );
        // Closed, and the next one is not there yet.
        assert_eq!(at(&volumes[..1], 10), (1, Some(10)));
    }

    #[test]
    fn what_a_repair_leaves_out_is_nowhere() {
        let volumes = [volume(1, 1, 10, 0, true), volume(2, 11, 20, 10, true)];
        let later = volume(3, 100, 110, 6, false);
        let all = [&volumes[..], &[later]].concat();
        assert_eq!(at(&all, 6), (1, Some(6)));
        assert_eq!(at(&all, 7), (0, Some(100)), "the position that is due leads on");
        for lost in [8, 10, 11, 20, 99] {
            assert_eq!(at(&all, lost), (9, Some(100)), "{lost}");
        }
        assert_eq!(at(&all, 100), (3, None));
    }

    #[test]
    fn a_mirror_begins_with_what_it_holds() {
        let info = |config: Value| serde_json::json!({"config": config, "state": {"first_seq": 100, "last_seq": 110}});
        let mirror = serde_json::json!({"mirror": {"name": "L_v3"}, "metadata": {AFTER: "6"}});
        let later = Volume::read("A", 3, &info(mirror.clone()));
        assert_eq!((later.first, later.last, later.after), (100, 110, 6));
        assert_eq!(Volume::read("A", 1, &info(mirror)).first, 1, "what it lost is missed");
        let own = Volume::read("L", 3, &info(serde_json::json!({"first_seq": 90})));
        assert_eq!((own.first, own.after), (90, 89));
    }

    #[test]
    fn a_lost_volume_is_no_jump() {
        let first = [volume(2, 11, 15, 10, false)];
        assert_eq!(at(&first, 1), (9, Some(11)));
        assert_eq!(at(&first, 10), (9, Some(11)));
        let middle = [volume(1, 1, 10, 0, true), volume(3, 21, 25, 20, false)];
        // Read where it should be, and missed there.
        assert_eq!(at(&middle, 11), (1, Some(20)));
    }
}
