//! What a help desk holds, how a year of it came about, and what happens next.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{
    super::{World, names, posts::uuid, template},
    SUBDOMAIN,
    paging::Export,
};

/// How far back history goes.
const DAYS: i64 = 365;
const AGENTS: u64 = 5;
const AGENT: u64 = 22_800_000_000;
const CUSTOMER: u64 = 22_900_000_000;
const GROUP: u64 = 23_000_000_000;
const ORGANIZATION: u64 = 23_100_000_000;
const FIELD: u64 = 360_041_773_611;

const ANSWER: &str = "Danke für Ihre Nachricht – we are on it.";

/// The records that all others are made like, as they are recorded: member of the answer, recording.
const TEMPLATES: [(&str, &str); 14] = [
    ("activities", include_str!("../../../../fixtures/zendesk/activities.http")),
    ("audit_logs", include_str!("../../../../fixtures/zendesk/audit_logs.http")),
    ("group_memberships", include_str!("../../../../fixtures/zendesk/group_memberships.http")),
    ("groups", include_str!("../../../../fixtures/zendesk/groups.http")),
    ("organization_memberships", include_str!("../../../../fixtures/zendesk/organization_memberships.http")),
    ("organizations", include_str!("../../../../fixtures/zendesk/organizations.http")),
    ("satisfaction_ratings", include_str!("../../../../fixtures/zendesk/satisfaction_ratings.http")),
    ("skips", include_str!("../../../../fixtures/zendesk/ticket_skips.http")),
    ("ticket_events", include_str!("../../../../fixtures/zendesk/ticket_event_export.http")),
    ("ticket_fields", include_str!("../../../../fixtures/zendesk/ticket_fields.http")),
    ("ticket_forms", include_str!("../../../../fixtures/zendesk/ticket_forms.http")),
    ("tickets", include_str!("../../../../fixtures/zendesk/tickets.http")),
    ("user", include_str!("../../../../fixtures/zendesk/_check.http")),
    ("users", include_str!("../../../../fixtures/zendesk/users.http")),
];

/// What the account holds.
#[derive(Default)]
pub struct Desk {
    templates: BTreeMap<&'static str, Value>,
    pub users: Export,
    pub organizations: Export,
    pub tickets: Export,
    pub events: Export,
    pub lists: BTreeMap<&'static str, Vec<Value>>,
    asked: u64,
    customers: u64,
    firms: u64,
    ids: u64,
    children: usize,
    /// History has been made: nobody is born dead any more.
    live: bool,
    comments: usize,
    attachments: usize,
}

impl Desk {
    /// An account with a year of history.
    pub fn new(world: &World) -> Self {
        let templates =
            TEMPLATES.iter().map(|(name, recording)| (*name, template(recording, name))).collect();
        let mut desk = Self { templates, ids: 24_000_000_000, ..Self::default() };
        for n in 0..AGENTS {
            let (role, name) = (if n == 0 { "admin" } else { "agent" }, names::person(n as usize));
            desk.user(AGENT + n, &name, &format!("agent{n}@example.com"), role, world.when(0, 1, DAYS));
        }
        let size = world.size.max(1);
        let customers = size / 2 + 1;
        let firms = customers / 5 + 1;
        for place in 0..firms {
            desk.firm(world.when(place, firms, DAYS));
        }
        for place in 0..customers {
            desk.customer(world.when(place, customers, DAYS));
        }
        for place in 0..size {
            let at = world.when(place, size, DAYS);
            let later = |minutes: usize| {
                let later = at.checked_add(SignedDuration::from_mins(minutes as i64));
                later.map_or(at, |later| later.min(world.now))
            };
            let id = desk.ask(at);
            if place % 4 != 3 {
                desk.reply(id, later(40 + place % 90), place % 2 == 0);
            }
            if place % 97 == 96 {
                desk.delete(id, later(300));
            }
        }
        desk.fill(world, size as u64);
        desk.live = true;
        desk
    }

    /// A copy of a recorded record.
    pub fn like(&self, name: &str) -> Value {
        self.templates.get(name).cloned().unwrap_or_default()
    }

    /// How many rows of each collection are living.
    pub fn census(&self) -> Vec<(&'static str, usize)> {
        let listed = self.lists.iter().map(|(name, rows)| {
            let name = if *name == "skips" { "ticket_skips" } else { name };
            (name, rows.iter().filter(|row| row["deleted"] != true).count())
        });
        listed
            .chain([
                ("attachments", self.attachments),
                ("organizations", self.organizations.count(|row| row["deleted_at"].is_null())),
                ("ticket_comments", self.comments),
                ("ticket_events", self.children),
                ("ticket_metrics", self.tickets.count(|_| true)),
                ("tickets", self.tickets.count(|row| row["status"] != "deleted")),
                ("users", self.users.count(|row| row["active"] != false)),
            ])
            .collect()
    }

    /// Something happens; returns the webhook's body.
    pub fn happen(&mut self, now: Timestamp, rng: &mut StdRng) -> Value {
        let any = rng.random_range(1..=self.asked.max(1));
        let ticket = self.tickets.get(&any.to_string()).cloned().unwrap_or_default();
        let dice = match rng.random_range(0..100) {
            dice if dice < 86 && ticket["status"] == "deleted" => 0,
            dice => dice,
        };
        match dice {
            0..35 => {
                let id = self.ask(now);
                self.event("ticket", "created", id, json!({}), now, rng)
            }
            35..55 => {
                let comment = self.reply(any, now, false);
                let agent = AGENT + any % AGENTS;
                let author = json!({ "id": agent.to_string(), "is_staff": true, "name": names::person((any % AGENTS) as usize) });
                let comment =
                    json!({ "id": comment.to_string(), "body": ANSWER, "is_public": true, "author": author });
                self.event("ticket", "comment_added", any, json!({ "comment": comment }), now, rng)
            }
            55..75 => {
                self.reply(any, now, true);
                let change = json!({ "current": "SOLVED", "previous": upper(&ticket["status"]) });
                self.event("ticket", "status_changed", any, change, now, rng)
            }
            75..83 => {
                let change = json!({ "priority": "urgent", "previous_value": ticket["priority"], "event_type": "Change" });
                self.record(any, now, AGENT, None, change);
                self.touch(any, now, |row| row["priority"] = json!("urgent"));
                let change = json!({ "current": "URGENT", "previous": upper(&ticket["priority"]) });
                self.event("ticket", "priority_changed", any, change, now, rng)
            }
            83..86 => {
                self.delete(any, now);
                self.event("ticket", "soft_deleted", any, json!({}), now, rng)
            }
            86..95 => {
                let id = self.customer(now);
                self.event("user", "created", id, json!({}), now, rng)
            }
            _ => {
                let id = self.firm(now);
                self.event("organization", "created", id, json!({}), now, rng)
            }
        }
    }

    /// The lists, which nothing changes later.
    fn fill(&mut self, world: &World, size: u64) {
        let at = |n: u64, of: u64, days: i64| stamp(world.when(n as usize, of as usize, days));
        let (customers, asked) = (self.customers, self.asked);
        self.list("groups", 4, |n| {
            let name = ["Support", "Rückerstattungen", "Night shift", "Old tier"][n as usize % 4];
            json!({ "id": GROUP + n, "name": name, "deleted": n == 3 })
        });
        self.list(
            "group_memberships",
            AGENTS,
            |n| json!({ "user_id": AGENT + n, "group_id": GROUP + n % 3 }),
        );
        self.list("organization_memberships", customers.div_ceil(3), |n| {
            let firm = 3 * n % (customers / 5 + 1);
            let name = names::firm(firm as usize);
            json!({ "user_id": CUSTOMER + 3 * n, "organization_id": ORGANIZATION + firm, "organization_name": name })
        });
        self.list("ticket_fields", 2, |n| {
            let (kind, title) = [("tagger", "Reason for request"), ("decimal", "Invoice amount")][n as usize % 2];
            json!({ "id": FIELD + 20 * n, "type": kind, "title": title, "raw_title": title, "removable": true })
        });
        self.list("ticket_forms", 1, |_| json!({}));
        self.list("skips", size.div_ceil(20), |n| {
            let time = at(n, size.div_ceil(20), DAYS);
            json!({ "ticket_id": n * 20 % asked + 1, "user_id": AGENT + n % AGENTS, "created_at": time, "updated_at": time })
        });
        self.list("satisfaction_ratings", size.div_ceil(8), |n| {
            let (time, score) =
                (at(n, size.div_ceil(8), DAYS), ["good", "good", "bad", "offered"][n as usize % 4]);
            json!({ "ticket_id": n * 8 % asked + 1, "score": score, "created_at": time, "updated_at": time })
        });
        self.list("audit_logs", 150, |n| json!({ "created_at": at(n, 150, DAYS) }));
        self.list("activities", 10, |n| json!({ "created_at": at(n, 10, 30), "updated_at": at(n, 10, 30) }));
    }

    /// Fills a list with `count` records; `own` says what is the nth one's own.
    fn list(&mut self, name: &'static str, count: u64, own: impl Fn(u64) -> Value) {
        for n in 0..count {
            let mut row = self.like(name);
            row["id"] = json!(self.id());
            set(&mut row, own(n));
            row["url"] = json!(url(name, &row["id"]));
            self.lists.entry(name).or_default().push(row);
        }
    }

    fn id(&mut self) -> u64 {
        self.ids += 20;
        self.ids
    }

    fn user(&mut self, id: u64, name: &str, email: &str, role: &str, at: Timestamp) {
        let (mut row, time) = (self.like("users"), stamp(at));
        set(
            &mut row,
            json!({
                "id": id, "url": url("users", &json!(id)), "name": name, "email": email, "role": role,
                "created_at": time, "updated_at": time,
            }),
        );
        if role == "end-user" {
            let n = id - CUSTOMER;
            set(
                &mut row,
                json!({
                    "external_id": n.is_multiple_of(3).then(|| format!("cus_{n}")), "organization_id": ORGANIZATION + n % self.firms.max(1),
                    "photo": null, "signature": null, "custom_role_id": null, "active": self.live || n % 89 != 88,
                }),
            );
        }
        self.users.put(at, id, row);
    }

    fn customer(&mut self, at: Timestamp) -> u64 {
        let n = self.customers;
        self.customers += 1;
        self.user(CUSTOMER + n, &names::person(n as usize), &names::email(n as usize), "end-user", at);
        CUSTOMER + n
    }

    fn firm(&mut self, at: Timestamp) -> u64 {
        let (n, time) = (self.firms, stamp(at));
        let id = ORGANIZATION + n;
        self.firms += 1;
        let mut row = self.like("organizations");
        set(
            &mut row,
            json!({
                "id": id, "url": url("organizations", &json!(id)), "name": names::firm(n as usize), "external_id": format!("acc_{n}"),
                "created_at": time, "updated_at": time, "deleted_at": (!self.live && n % 40 == 39).then_some(&time),
            }),
        );
        self.organizations.put(at, id, row);
        id
    }

    /// A customer asks.
    fn ask(&mut self, at: Timestamp) -> u64 {
        self.asked += 1;
        let (id, time, metric) = (self.asked, stamp(at), json!(self.id()));
        let who = CUSTOMER + id * 7 % self.customers.max(1);
        let subject = [
            "Where is my order?",
            "Mein Abo läuft doppelt",
            "Export stops half-way",
            "Please close my account",
        ][id as usize % 4];
        let priority = ["low", "normal", "high", "urgent"][id as usize / 4 % 4];
        let values = json!([{ "id": FIELD, "value": "billing__double_charge" }, { "id": FIELD + 20, "value": format!("{}.40", id % 500) }]);
        let mut row = self.like("tickets");
        set(
            &mut row,
            json!({
                "id": id, "url": url("tickets", &json!(id)), "external_id": null, "subject": subject, "raw_subject": subject,
                "status": "open", "priority": priority, "requester_id": who,
                "submitter_id": who, "assignee_id": AGENT + id % AGENTS, "group_id": GROUP + id % 3,
                "organization_id": ORGANIZATION + id % self.firms.max(1), "created_at": time, "custom_fields": values, "fields": values,
            }),
        );
        let own = json!({ "id": metric, "url": url("ticket_metrics", &metric), "ticket_id": id, "created_at": time, "replies": 0, "solved_at": null });
        set(&mut row["metric_set"], own);
        self.tickets.put(at, id, row);
        self.record(id, at, who, Some(subject), json!({ "status": "open", "event_type": "Create" }));
        self.touch(id, at, |_| {});
        id
    }

    /// An agent answers, and perhaps solves it. Returns the comment's id.
    fn reply(&mut self, id: u64, at: Timestamp, solves: bool) -> u64 {
        let status = if solves { "solved" } else { "pending" };
        let change = json!({ "status": status, "previous_value": "open", "event_type": "Change" });
        let comment = self.record(id, at, AGENT + id % AGENTS, Some(ANSWER), change);
        self.touch(id, at, |row| {
            let replies = row["metric_set"]["replies"].as_u64().unwrap_or(0) + 1;
            row["status"] = json!(status);
            set(
                &mut row["metric_set"],
                json!({ "replies": replies, "solved_at": solves.then(|| stamp(at)) }),
            );
        });
        comment
    }

    fn delete(&mut self, id: u64, at: Timestamp) {
        let change = json!({ "status": "deleted", "previous_value": "open", "event_type": "Change" });
        self.record(id, at, AGENT, None, change);
        self.touch(id, at, |row| row["status"] = json!("deleted"));
    }

    /// Changes a ticket, and moves it to the end of the export.
    fn touch(&mut self, id: u64, at: Timestamp, change: impl FnOnce(&mut Value)) {
        let Some(mut row) = self.tickets.take(id) else { return };
        change(&mut row);
        set(&mut row, json!({ "updated_at": stamp(at), "generated_timestamp": at.as_second() }));
        row["metric_set"]["updated_at"] = json!(stamp(at));
        self.tickets.put(at, id, row);
    }

    /// Adds a ticket event: a comment, if there is one (every seventh ticket's first one has a file), and a change.
    /// Returns the id of its first part.
    fn record(&mut self, ticket: u64, at: Timestamp, who: u64, comment: Option<&str>, change: Value) -> u64 {
        let (id, first, time) = (self.id(), self.id(), stamp(at));
        let mut event = self.like("ticket_events");
        let mut said = event["child_events"][0].take();
        let mut children = Vec::new();
        if let Some(text) = comment {
            let mut files: Vec<Value> = said["attachments"].as_array().cloned().unwrap_or_default();
            files.truncate(usize::from(ticket.is_multiple_of(7) && change["event_type"] == "Create"));
            files.iter_mut().for_each(|file| file["id"] = json!(self.id()));
            self.comments += 1;
            self.attachments += files.len();
            set(
                &mut said,
                json!({
                    "id": first, "audit_id": id, "author_id": who, "created_at": time, "body": text, "plain_body": text,
                    "html_body": format!("<div class=\"zd-comment\">{text}</div>"), "attachments": files,
                }),
            );
            children.push(said);
        }
        let mut change = change;
        let own = if children.is_empty() { first } else { self.id() };
        set(&mut change, json!({ "id": own, "via": "Web form", "via_reference_id": null }));
        children.push(change);
        self.children += children.len();
        set(
            &mut event,
            json!({
                "id": id, "ticket_id": ticket, "timestamp": at.as_second(), "created_at": time, "updater_id": who,
                "child_events": children,
            }),
        );
        self.events.put(at, id, event);
        first
    }

    /// The body that a webhook posts: a part of the row, its ids as text and its words in capitals.
    fn event(
        &self,
        subject: &str,
        action: &str,
        id: u64,
        event: Value,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Value {
        let (export, members) = match subject {
            "ticket" => (
                &self.tickets,
                "assignee_id brand_id created_at description external_id group_id id is_public organization_id priority \
                 requester_id status subject submitter_id tags type updated_at",
            ),
            "user" => (
                &self.users,
                "created_at default_group_id email external_id id organization_id role updated_at",
            ),
            _ => (
                &self.organizations,
                "created_at external_id group_id id name shared_comments shared_tickets updated_at",
            ),
        };
        let row = export.get(&id.to_string()).cloned().unwrap_or_default();
        let detail = members.split(' ').map(|name| {
            let value = match (&row[name], name) {
                (Value::Number(id), name) if name.ends_with("id") => json!(id.to_string()),
                (word, "priority" | "status" | "type") => upper(word),
                (value, _) => value.clone(),
            };
            (name.to_owned(), value)
        });
        json!({
            "account_id": 21_848_019, "detail": detail.collect::<Map<_, _>>(), "event": event, "id": uuid(rng),
            "subject": format!("zen:{subject}:{id}"), "time": now, "type": format!("zen:event-type:{subject}.{action}"),
            "zendesk_event_version": "2022-06-20",
        })
    }
}

/// Sets members of an object.
fn set(row: &mut Value, members: Value) {
    if let Value::Object(members) = members {
        for (name, value) in members {
            row[name] = value;
        }
    }
}

fn upper(word: &Value) -> Value {
    word.as_str().map_or(Value::Null, |word| json!(word.to_uppercase()))
}

fn url(name: &str, id: &Value) -> String {
    format!("https://{SUBDOMAIN}.zendesk.com/api/v2/{name}/{id}.json")
}

fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
