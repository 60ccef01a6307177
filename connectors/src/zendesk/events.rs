//! Event webhooks: a ticket's events become track calls, a user's identify, an organization's group; and each says
//! which row has changed.

use headwater_core::{event::title_case, prelude::*};

use super::Zendesk;

pub static WEBHOOK: Webhook = Webhook { surfaces: SURFACES, calls: CALLS };

const SURFACES: &[Surface] = &[Surface::json(
    "",
    Signature::Hmac(Hmac {
        hash: Hash::Sha256,
        key: Key::Text,
        at: Place::Header(&["x-zendesk-webhook-signature"]),
        grammar: Grammar::Plain(""),
        encoding: Encoding::Base64,
        over: &[Part::Stamp, Part::Body],
        stamp: Some(Stamp {
            at: Some(Place::Header(&["x-zendesk-webhook-signature-timestamp"])),
            format: StampFormat::Rfc3339,
            // Zendesk names no window; a timed-out delivery is tried five times more.
            tolerance: Duration::from_secs(15 * 60),
        }),
    }),
)];

const TYPE: [&str; 2] = ["zen:event-type:", "zen:event-type/"];

/// Who a call is about, the most telling first.
const PEOPLE: [&str; 5] = [
    "detail.requester_id",
    "detail.submitter_id",
    "detail.user_id",
    "event.comment.author.id",
    "detail.actor_id",
];

impl EventSource for Zendesk {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event = &item.record;
        let kind = event.text("type")?.unwrap_or_default();
        let Some(name) = TYPE.iter().find_map(|prefix| kind.strip_prefix(prefix)) else {
            return Err(Error::unexpected(
                "not a Zendesk event: subscribe the webhook to events; what a trigger's own body means, nobody can know",
            ));
        };
        let (subject, action) = name.split_once('.').unwrap_or((name, ""));
        let about = event.text("subject")?;
        let id = match event.text("detail.id")? {
            Some(id) => Some(id),
            None => about.as_deref().and_then(|about| about.rsplit(':').next()).map(str::to_owned),
        };

        let mut envelope = event.fields()?;
        let mut properties = object(envelope.take("detail"), "detail")?;
        let happened = object(envelope.take("event"), "event")?;
        let event_id = envelope.take_text("id");
        envelope.take("time");
        let nobody = || Error::unexpected("the event names neither a person nor a subject");
        let call = match subject {
            "user" => {
                envelope.set("event", happened.raw());
                Call::identify()
                    .user(event.text("detail.external_id")?)
                    .anonymous(Some(id.clone().ok_or_else(nobody)?))
            }
            "organization" => {
                envelope.set("event", happened.raw());
                let group = event.first_text(&["detail.external_id", "detail.id"])?.or(id.clone());
                Call::group(group.ok_or_else(nobody)?)
                    .anonymous(Some(about.or(id.clone()).ok_or_else(nobody)?))
            }
            _ => {
                properties.rename("id", &format!("{subject}_id"));
                properties.merge(happened, "event_");
                Call::track(title(event, name)?)
                    .anonymous(Some(event.first_text(&PEOPLE)?.or(about).ok_or_else(nobody)?))
            }
        };
        let mut call = call.id(event_id).at(event.time("time")?).properties(properties);
        call.context.set("zendesk", envelope.raw());

        let mut out = vec![Output::Call(call)];
        if let Some(change) = change(event, subject, action, id)? {
            out.push(Output::Change(change));
        }
        Ok(out)
    }
}

/// The row that an event is about has changed, or is gone. The event holds only a part of the row, so that the rest is
/// fetched.
fn change(event: &Record, subject: &str, action: &str, id: Option<String>) -> Result<Option<Change>> {
    let table = match subject {
        "ticket" => "tickets",
        "user" => "users",
        "organization" => "organizations",
        _ => return Ok(None),
    };
    let Some(id) = id.and_then(|id| id.parse::<u64>().ok()) else { return Ok(None) };
    let op = match action {
        "deleted" | "soft_deleted" | "permanently_deleted" => Op::Delete,
        "active_changed" if event.text("event.current")?.as_deref() == Some("false") => Op::Delete,
        _ => Op::Touch,
    };
    let version = event.time("detail.updated_at")?.map(Version::at);
    Ok(Some(Change::upsert(table, Record::new(&json!({ "id": id }))?).op(op).version(version)))
}

/// The members of an object; anything else keeps its name.
fn object(raw: Option<Raw>, name: &str) -> Result<Fields> {
    match raw {
        None => Ok(Fields::default()),
        Some(raw) => match raw.clone().record() {
            Some(record) => record.fields(),
            None if raw.is_null() => Ok(Fields::default()),
            None => Ok(Fields::from_iter([(name.to_owned(), raw)])),
        },
    }
}

/// What a track call is named: as listed below, else the words of the type.
fn title(event: &Record, name: &str) -> Result<String> {
    if name == "ticket.status_changed"
        && event.text("event.current")?.is_some_and(|status| status.eq_ignore_ascii_case("solved"))
    {
        return Ok("Ticket Solved".into());
    }
    let listed = WEBHOOK.by_native(&format!("{}{name}", TYPE[0]));
    Ok(listed.map_or_else(|| title_case(name), |call| call.name.to_owned()))
}

/// What every ticket event tells of the ticket.
macro_rules! ticket {
    ($more:literal) => {
        concat!(
            "ticket_id, subject, description, status, custom_status, priority, type, requester_id, submitter_id, \
             assignee_id, actor_id, organization_id, group_id, brand_id, form_id, external_id, is_public, tags, via, \
             created_at, updated_at",
            $more
        )
    };
}

const CHANGED: &str = ticket!(", current, previous");
const COMMENT: &str = ticket!(", comment");
const PLAIN: &str = ticket!("");

const CALLS: &[CallType] = &[
    CallType::track("Ticket Created", PLAIN).native("zen:event-type:ticket.created"),
    CallType::track("Ticket Status Changed", CHANGED)
        .native("zen:event-type:ticket.status_changed")
        .when("the status is now another than solved"),
    CallType::track("Ticket Solved", CHANGED)
        .native("zen:event-type:ticket.status_changed")
        .when("the status is now solved"),
    CallType::track("Ticket Comment Added", COMMENT).native("zen:event-type:ticket.comment_added"),
    CallType::track("Ticket Priority Changed", CHANGED).native("zen:event-type:ticket.priority_changed"),
    CallType::track("Ticket Assigned", CHANGED).native("zen:event-type:ticket.agent_assignment_changed"),
    CallType::track("Ticket Group Changed", CHANGED).native("zen:event-type:ticket.group_assignment_changed"),
    CallType::track("Ticket Tags Changed", ticket!(", tags_added, tags_removed"))
        .native("zen:event-type:ticket.tags_changed"),
    CallType::track("Ticket Field Changed", ticket!(", current, previous, custom_field"))
        .native("zen:event-type:ticket.custom_field_changed"),
    CallType::track("Ticket Subject Changed", CHANGED).native("zen:event-type:ticket.subject_changed"),
    CallType::track("Ticket Requester Changed", CHANGED).native("zen:event-type:ticket.requester_changed"),
    CallType::track("Ticket Merged", ticket!(", target_ticket_id")).native("zen:event-type:ticket.merged"),
    CallType::track("Ticket Attachment Linked To Comment", COMMENT)
        .native("zen:event-type:ticket.attachment_linked_to_comment"),
    CallType::track("Ticket Attachment Redacted From Comment", COMMENT)
        .native("zen:event-type:ticket.attachment_redacted_from_comment"),
    CallType::track("Ticket Brand Changed", CHANGED).native("zen:event-type:ticket.brand_changed"),
    CallType::track("Ticket Comment Made Private", COMMENT).native("zen:event-type:ticket.comment_made_private"),
    CallType::track("Ticket Comment Redacted", COMMENT).native("zen:event-type:ticket.comment_redacted"),
    CallType::track("Ticket Custom Status Changed", CHANGED)
        .native("zen:event-type:ticket.custom_status_changed"),
    CallType::track("Ticket Description Changed", CHANGED).native("zen:event-type:ticket.description_changed"),
    CallType::track("Ticket Email Ccs Changed", ticket!(", users_added, users_removed"))
        .native("zen:event-type:ticket.email_ccs_changed"),
    CallType::track("Ticket External Id Changed", CHANGED).native("zen:event-type:ticket.external_id_changed"),
    CallType::track("Ticket Followers Changed", ticket!(", users_added, users_removed"))
        .native("zen:event-type:ticket.followers_changed"),
    CallType::track("Ticket Form Changed", CHANGED).native("zen:event-type:ticket.form_changed"),
    CallType::track("Ticket Marked As Spam", PLAIN).native("zen:event-type:ticket.marked_as_spam"),
    CallType::track("Ticket Organization Changed", CHANGED).native("zen:event-type:ticket.organization_changed"),
    CallType::track("Ticket Permanently Deleted", PLAIN).native("zen:event-type:ticket.permanently_deleted"),
    CallType::track("Ticket Problem Link Changed", CHANGED).native("zen:event-type:ticket.problem_link_changed"),
    CallType::track("Ticket Soft Deleted", PLAIN).native("zen:event-type:ticket.soft_deleted"),
    CallType::track("Ticket Submitter Changed", CHANGED).native("zen:event-type:ticket.submitter_changed"),
    CallType::track("Ticket Task Due At Changed", CHANGED).native("zen:event-type:ticket.task_due_at_changed"),
    CallType::track("Ticket Type Changed", CHANGED).native("zen:event-type:ticket.type_changed"),
    CallType::track("Ticket Undeleted", PLAIN).native("zen:event-type:ticket.undeleted"),
    CallType::track("", "").native("zen:event-type:*").when("any other event: its words in Title Case"),
    CallType::new(
        CallKind::Identify,
        "",
        "id, email, external_id, organization_id, default_group_id, role, created_at, updated_at",
    )
    .native("zen:event-type:user.*")
    .when("a user is made, changed or deleted"),
    CallType::new(
        CallKind::Group,
        "",
        "id, name, external_id, group_id, shared_tickets, shared_comments, created_at, updated_at",
    )
    .native("zen:event-type:organization.*")
    .when("an organization is made, changed or deleted"),
    CallType::track(
        "ticket_events",
        "id, ticket_event_id, ticket_id, timestamp, updater_id, ticket_event_via, context_client, context_location, \
         context_latitude, context_longitude, via",
    )
    .excused("Segment's name for the rows of the incremental export: here they are the collection ticket_events"),
];
