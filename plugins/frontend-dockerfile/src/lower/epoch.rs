//! SOURCE_DATE_EPOCH: a number, or the time of the context, of a named context or of a stage that brings one source.

use super::Lowerer;
use super::copy::check_digest;
use super::copy::http_filename;
use crate::api::Attr;
use crate::api::Source;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Outcome;
use kiln_dockerfile_syntax::instructions::AddCommand;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::instructions::Stage;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;

/// The build argument.
const NAME: &str = "SOURCE_DATE_EPOCH";

/// A source whose time is wanted, and what the user sees.
type Timed = Option<(Source, String)>;

impl Lowerer<'_> {
    /// Finds out the time of the build and puts it into the argument.
    pub(super) fn prepare_epoch(&mut self) -> Outcome<()> {
        let given = self.args.get(NAME).cloned();
        let Some(value) = given.or_else(|| {
            self.global_args
                .get(NAME)
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
        }) else {
            return Ok(());
        };
        let declared = self
            .file
            .parsed
            .meta_args
            .iter()
            .find(|command| match &command.instruction {
                Instruction::Arg(arg) => arg.args.iter().any(|pair| pair.key == NAME),
                _ => false,
            });
        self.epoch = self.resolve_epoch(&value).map_err(|fault| match declared {
            Some(command) if !self.args.contains_key(NAME) => fault.within(command.span()),
            _ => fault,
        })?;
        self.created = self.epoch.map(rfc3339);
        let text = self.epoch.map(|seconds| seconds.to_string());
        if self.args.contains_key(NAME) {
            match &text {
                Some(text) => self.args.insert(NAME.to_owned(), text.clone()),
                None => self.args.remove(NAME),
            };
        }
        if self.global_args.get(NAME).is_some() {
            match text {
                Some(text) => self.global_args.set(NAME, text),
                None => self.global_args.remove(NAME),
            }
        }
        Ok(())
    }

    fn resolve_epoch(&mut self, value: &str) -> Outcome<Option<i64>> {
        if value.is_empty() {
            return Ok(None);
        }
        if let Ok(seconds) = value.parse::<i64>() {
            return Ok(Some(seconds));
        }
        let Some((source, name)) = self.epoch_source(value)? else {
            return Ok(None);
        };
        let answer = self.session.host.resolve_source(&source, &name)?;
        let get = |key: &str| {
            answer
                .attrs
                .iter()
                .find(|a| a.key == key)
                .map(|a| a.value.as_str())
        };
        let times = [get("git.commit-time"), get("http.last-modified")];
        let time = times.into_iter().flatten().find_map(seconds);
        match time {
            Some(time) => Ok(Some(time)),
            None if source.identifier.starts_with("git://") => {
                Err(Fault::new(format!("no commit time for {}", source.identifier)))
            }
            None => Ok(None),
        }
    }

    fn epoch_source(&mut self, value: &str) -> Outcome<Timed> {
        if value == "context" {
            let url = self.options().main_context.clone().unwrap_or_default();
            return remote(&url, "[internal] resolve main build context metadata");
        }
        if let Ok(Some(context)) = self.named_context(value, None) {
            return remote(
                &context.value,
                &format!("[internal] resolve SOURCE_DATE_EPOCH named context {value}"),
            );
        }
        let file = self.file;
        let Some(stage) = file.parsed.stages.iter().find(|stage| stage.is_named(value)) else {
            return Err(Fault::new(format!("invalid SOURCE_DATE_EPOCH: {value}")));
        };
        let name = stage.name.as_deref().unwrap_or_default();
        let label = format!("[internal] resolve SOURCE_DATE_EPOCH source stage {name}");
        let source = self
            .stage_source(stage)
            .map_err(|fault| fault.within(stage.span()))?;
        Ok(Some((source, label)))
    }

    /// Finds the one remote source of a stage.
    fn stage_source(&self, stage: &Stage) -> Outcome<Source> {
        let mut env = self.global_args.clone();
        env.remove(NAME);
        if self.word(&stage.base_name, &env)? != "scratch" {
            return Err(Fault::new("SOURCE_DATE_EPOCH stage must use FROM scratch"));
        }
        let one = || Fault::new("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
        let mut found = None;
        for command in &stage.commands {
            match &command.instruction {
                Instruction::Arg(arg) => {
                    for pair in &arg.args {
                        let value = match (self.args.get(&pair.key), &pair.value) {
                            (Some(given), _) => given.clone(),
                            (None, Some(default)) => self.word(default, &env)?,
                            (None, None) => continue,
                        };
                        env.set(&pair.key, value);
                    }
                }
                Instruction::Add(_) if found.is_some() => return Err(one()),
                Instruction::Add(add) => found = Some(self.add_source(add, &env)?),
                _ => {
                    let name = command.name();
                    return Err(Fault::new(format!(
                        "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported {name} instruction"
                    )));
                }
            }
        }
        found.ok_or_else(one)
    }

    fn word(&self, word: &str, env: &Env) -> Outcome<String> {
        Ok(self.lex.process_word(word, env)?)
    }

    fn add_source(&self, add: &AddCommand, env: &Env) -> Outcome<Source> {
        let ([path], []) = (add.sources.paths.as_slice(), add.sources.contents.as_slice()) else {
            return Err(Fault::new(
                "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source",
            ));
        };
        let url = self.word(path, env)?;
        let checksum = self.word(add.checksum.as_deref().unwrap_or_default(), env)?;
        let known = if add.keep_git_dir.is_some() {
            Known::Git
        } else {
            Known::Unknown
        };
        match kiln_giturl::parse(&url, known) {
            GitUrl::Bad(message) => Err(Fault::new(message)),
            GitUrl::Yes(mut git) if !git.like_local => {
                git.keep_git_dir = git.keep_git_dir.or(add.keep_git_dir);
                if !checksum.is_empty() {
                    git.checksum = checksum;
                }
                Ok(source(git.identifier(), &git.attrs()))
            }
            _ if url.starts_with("http://") || url.starts_with("https://") => {
                let mut attrs = vec![("http.filename", http_filename(&url))];
                if !checksum.is_empty() {
                    check_digest(&checksum)?;
                    attrs.push(("http.checksum", checksum));
                }
                Ok(source(url, &attrs))
            }
            _ => Err(Fault::new(
                "SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD",
            )),
        }
    }
}

fn source(identifier: String, attrs: &[(&str, String)]) -> Source {
    let attrs = attrs
        .iter()
        .map(|(key, value)| Attr::new(*key, value.clone()))
        .collect();
    Source { identifier, attrs }
}

/// Returns the source of a context that comes from elsewhere; none for directories and images.
fn remote(url: &str, label: &str) -> Outcome<Timed> {
    let label = label.to_owned();
    match kiln_giturl::parse(url, Known::Unknown) {
        GitUrl::Bad(message) => Err(Fault::new(message)),
        GitUrl::Yes(git) => Ok(Some((source(git.identifier(), &git.attrs()), label))),
        GitUrl::No if url.starts_with("http://") || url.starts_with("https://") => Ok(Some((
            source(url.to_owned(), &[("http.filename", "context".to_owned())]),
            label,
        ))),
        GitUrl::No => Ok(None),
    }
}

/// Reads seconds since the epoch, or a date as HTTP writes it: `Tue, 14 Nov 2023 22:13:20 GMT`.
fn seconds(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, clock, _] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.find(month).filter(|at| at % 3 == 0 && month.len() == 3)? as i64 / 3 + 1;
    let clock: Vec<i64> = clock
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let days = days_from_date(year.parse().ok()?, month, day.parse().ok()?);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years start in March so that leap days come last.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = year.clamp(-100_000, 100_000) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Writes seconds since the epoch as `2023-11-14T22:13:20Z`.
fn rfc3339(seconds: i64) -> String {
    // Times beyond this range have no such form; nothing that is built is that old or new.
    let seconds = seconds.clamp(-62_135_596_800, 253_402_300_799);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::rfc3339;
    use super::seconds;

    #[test]
    fn times() {
        let check = |at: i64, expect: &str| assert_eq!(rfc3339(at), expect);
        check(0, "1970-01-01T00:00:00Z");
        check(1_700_000_001, "2023-11-14T22:13:21Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(i64::MAX, "9999-12-31T23:59:59Z");
        assert_eq!(seconds("Tue, 14 Nov 2023 22:13:21 GMT"), Some(1_700_000_001));
        assert_eq!(seconds("12"), Some(12));
        assert_eq!(seconds("yesterday"), None);
    }
}
