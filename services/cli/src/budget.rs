//! `canonry budget limit|price|show` and `canonry spend`: what may be spent, and what was.

use canonry_schemas::budget::{Dimension, Limit, Period, Price};
use canonry_schemas::ids::{IntentId, RoleId, Scope, TicketId};
use canonry_schemas::json;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::Value;

use crate::args::{Api, Nats, Who};
use crate::context::Context;
use crate::failure::Failure;
use crate::submit::{body_of, intent_or_new};
use crate::{http, output};

/// Budgets.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry budget limit tenant day --money-micros 50000000 --calls 10000
    canonry budget price prices.json
    canonry budget show")]
pub enum Command {
    /// Set the limits of an account for one period; founders only
    Limit(Set),
    /// Set the price table; founders only
    Price(Prices),
    /// Show accounts: limits, what is spent and reserved, what is left
    Show(Show),
}

/// Over which time an account is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Over {
    /// One day, UTC
    Day,
    /// From the beginning on
    Total,
}

/// Set the limits of an account for one period.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
All limits of that account and period are set at once: a dimension that is left out is not limited \
any more. Accounts of tickets and runs are counted in total only. An action needs room on every \
account: its run's, ticket's, role's and the tenant's.
Exit codes: 0 became a record; 1 refused, the code is told; 64 no creds; 69 no answer.

EXAMPLES:
    canonry budget limit tenant day --money-micros 50000000 --calls 10000
    canonry budget limit role/rol_01hzy3v7m8q6k4n2r9s5t1w0xa day --tokens 2000000
    canonry budget limit ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa total --wall-seconds 3600
    canonry budget limit tenant total")]
pub struct Set {
    /// Whose account: tenant, or role/, ticket/ or run/ and an id
    account: Scope,
    /// Over which time
    period: Over,
    /// Money, in millionths of the tenant's currency
    #[arg(long, value_name = "N")]
    money_micros: Option<u64>,
    /// Tokens, in and out together
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// Calls of tools and models
    #[arg(long, value_name = "N")]
    calls: Option<u64>,
    /// Seconds of wall time
    #[arg(long, value_name = "N")]
    wall_seconds: Option<u64>,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Set the price table.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The table is set as a whole: a model that it does not name cannot be called. Prices are integers, \
millionths of the currency for a million tokens; the first table fixes the currency. A file holds
    {\"currency\":\"EUR\",\"models\":[{\"model\":\"small\",
      \"input_micros_per_million_tokens\":150000,\"output_micros_per_million_tokens\":600000}]}
Exit codes: 0 became a record; 1 refused, the code is told; 2 the file does not read; 64 no creds.

EXAMPLES:
    canonry budget price prices.json
    canonry budget price - < prices.json")]
pub struct Prices {
    /// File with the table; - reads it from stdin
    file: String,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Show accounts.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Without an account: the tenant's, every role's, and whatever has a limit. Each line is an account, its \
period, and for each dimension what is used (spent and reserved) of the limit.

EXAMPLES:
    canonry budget show
    canonry budget show ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry budget show role/rol_01hzy3v7m8q6k4n2r9s5t1w0xa --day 2026-01-31 --json")]
pub struct Show {
    /// Whose account: tenant, or role/, ticket/ or run/ and an id
    account: Option<Scope>,
    /// Which day the accounts that are counted by day are told of, UTC; today without it
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<String>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// What a report adds up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Ticket by ticket
    Ticket,
    /// Run by run
    Run,
    /// Role by role
    Role,
    /// Model by model
    Model,
    /// Tool by tool
    Tool,
    /// Day by day
    Day,
}

/// Report what was spent.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The report adds up the same records that limits are kept by. A reservation counts on the day it was \
made, whenever it is settled. Each line: what, actions, those not settled yet, and of money, tokens, \
calls and wall seconds what is spent, with what is reserved behind a plus.

EXAMPLES:
    canonry spend
    canonry spend --by model --from 2026-01-01 --to 2026-01-31
    canonry spend --by ticket --role rol_01hzy3v7m8q6k4n2r9s5t1w0xa --json | jq .spent.money_micros")]
pub struct Spend {
    /// By what
    #[arg(long, value_enum, default_value_t = By::Role)]
    by: By,
    /// Of one ticket
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    /// Of one role
    #[arg(long, value_name = "ID")]
    role: Option<RoleId>,
    /// Not before this day, UTC
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Not after this day
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
///
/// # Errors
/// Refused, not reached, or not what it should be.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Limit(args) => limit(context, args).await,
        Command::Price(args) => price(context, args).await,
        Command::Show(args) => show(context, args).await,
    }
}

async fn limit(context: &Context, args: Set) -> Result<(), Failure> {
    let body = Limit {
        scope: args.account,
        period: match args.period {
            Over::Day => Period::Day,
            Over::Total => Period::Total,
        },
        money_micros: args.money_micros,
        tokens: args.tokens,
        calls: args.calls,
        wall_seconds: args.wall_seconds,
    };
    let body = serde_json::to_vec(&body).map_err(Failure::usage)?;
    let client = context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?;
    let id = intent_or_new(args.intent_id)?;
    output::answer(&client.submit("budget", "limit", &body, &id).await?, context.json)
}

async fn price(context: &Context, args: Prices) -> Result<(), Failure> {
    let text = match args.file.as_str() {
        "-" => body_of("-")?,
        file => std::fs::read(file).map_err(|e| Failure::usage(format!("{file}: {e}")))?,
    };
    let table = json::parse(&text).map_err(|e| Failure::usage(format!("the table: {e}")))?;
    // Told here, where it is known which line is wrong; the decider would only say that it is.
    let table: Price =
        serde_json::from_value(table).map_err(|e| Failure::usage(format!("the table: {e}")))?;
    let body = serde_json::to_vec(&table).map_err(Failure::usage)?;
    let client = context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?;
    let id = intent_or_new(args.intent_id)?;
    output::answer(&client.submit("budget", "price", &body, &id).await?, context.json)
}

/// What is used of each limit, in the order of the dimensions.
fn used(row: &Value) -> Vec<String> {
    let number = |kind: &str, name: &str| row[kind][name].as_u64();
    let one = |d: Dimension| {
        let name = d.name();
        let used = number("spent", name).unwrap_or(0) + number("reserved", name).unwrap_or(0);
        match number("limits", name) {
            Some(limit) => format!("{name} {used}/{limit}"),
            None => format!("{name} {used}"),
        }
    };
    Dimension::ALL.into_iter().map(one).collect()
}

async fn show(context: &Context, args: Show) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(args.account.as_ref().map(|a| ("scope", a.to_string())));
    query.extend(args.day.map(|d| ("day", d)));
    query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
    let shown = |row: &Value| {
        if context.json {
            return output::json(row);
        }
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let period = if row["day"].is_string() { text("day") } else { text("period") };
        output::line(&format!("{}\t{period}\t{}", text("scope"), used(row).join("\t")));
        Ok(())
    };
    http::every(&api, "/api/v1/budgets", &query, &pen, shown).await
}

/// `canonry spend`.
///
/// # Errors
/// The API does not answer, or refuses.
pub async fn spend(context: &Context, args: Spend) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let by = args.by.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let mut query = vec![("by", by)];
    query.extend(args.ticket.map(|t| ("ticket", t.to_string())));
    query.extend(args.role.map(|r| ("role", r.to_string())));
    query.extend(args.from.map(|d| ("from_day", d)));
    query.extend(args.to.map(|d| ("to_day", d)));
    query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
    let shown = |row: &Value| {
        if context.json {
            return output::json(row);
        }
        let key = row["key"].as_str().filter(|key| !key.is_empty()).unwrap_or("-");
        let mut line = format!("{key}\t{}\t{}", row["actions"], row["open"]);
        for d in Dimension::ALL {
            let (spent, reserved) = (&row["spent"][d.name()], &row["reserved"][d.name()]);
            line.push_str(&match reserved.as_u64() {
                None | Some(0) => format!("\t{} {spent}", d.name()),
                Some(reserved) => format!("\t{} {spent}+{reserved}", d.name()),
            });
        }
        output::line(&line);
        Ok(())
    };
    http::every(&api, "/api/v1/spend", &query, &pen, shown).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_is_used_of_which_limit() {
        let row = json!({"limits": {"money_micros": 100, "calls": 0},
            "spent": {"money_micros": 30, "tokens": 7, "calls": 0, "wall_seconds": 0},
            "reserved": {"money_micros": 5, "tokens": 0, "calls": 0, "wall_seconds": 2}});
        let told = ["money_micros 35/100", "tokens 7", "calls 0/0", "wall_seconds 2"];
        assert_eq!(used(&row), told);
    }
}
