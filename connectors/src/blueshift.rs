//! Blueshift: what becomes of messages, as batches of campaign activity; and whether the steps of event-triggered
//! campaigns were carried out, as the execution status webhook (`…/status`).

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "blueshift",
    "Blueshift",
    "email",
    "https://help.blueshift.com/hc/en-us/articles/39243100396307-Campaign-activity-exports-via-webhooks",
)
.settings::<Blueshift>()
.events::<Blueshift>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Blueshift source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blueshift {
    /// `user:password`, as set for HTTP Basic in the campaign activity export; two while it is being changed, the newer
    /// first. Blueshift signs nothing: without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    password: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::Optional {
                one: &Signature::Basic,
                why: "Blueshift signs nothing, and HTTP Basic is a choice of the export's",
            },
            // The samples have `batch`; a list by itself is taken too.
            items: Items::Json("batch|"),
        },
        Surface {
            path: "status",
            signature: Signature::None {
                why: "Blueshift sends the execution status without any credentials",
            },
            items: Items::Json(""),
        },
    ],
    calls: CALLS,
};

const ACTIVITY: Mapping = Mapping {
    // The message's id, not the event's.
    id: &["message_uuid", "action", "trigger_timestamp", "transaction_uuid"],
    time: "trigger_timestamp",
    user: "customer_id",
    anonymous: "user_uuid",
    otherwise: "email",
    email: "email",
    context: &[
        ("traits.blueshift_user_uuid", "user_uuid"),
        ("ip", "ip|IP"),
        ("userAgent", "user_agent"),
        ("campaign.name", "utm_campaign|campaign_name"),
        ("campaign.source", "utm_source"),
        ("campaign.medium", "utm_medium"),
        ("campaign.term", "utm_term"),
        ("campaign.content", "utm_content"),
    ],
    names: &[("event", "event_name")],
    calls: CALLS,
    ..Mapping::NEW
};

const STATUS: Mapping = Mapping {
    event: "status",
    // It tells neither an id nor a time, and the steps of a campaign look the same.
    time: "received:",
    user: "user.customer_id",
    otherwise: "user.email|campaign_uuid",
    email: "user.email",
    context: &[("campaign.name", "campaign_name")],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Blueshift {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.password.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        if item.surface.path == "status" {
            return Ok(vec![STATUS.call(item)?.into()]);
        }
        let action: String = item.record.get("action")?;
        // `EmailTrigger`, `SmsTrigger`, `PushTrigger` …: what is delivered on one channel is another event on the next.
        let channel = item.record.text("trigger_type")?.unwrap_or_default();
        let native = format!("{} {action}", channel.trim_end_matches("Trigger"));
        let call =
            WEBHOOK.by_native(native.trim()).map_or_else(|| Call::track(title_case(&native)), CallType::call);
        Ok(vec![ACTIVITY.fill(item, call)?.into()])
    }
}

/// What every message's event has.
const MESSAGE: &str = "account_uuid text, action text, bucket_uuid text, campaign_name text, campaign_uuid text, \
    creative_name text, creative_uuid text, email text, event_name text, experiment_uuid text, message_uuid text, \
    sg_message_id text, subject_line text, transaction_uuid text, trigger_name text, trigger_type text, \
    trigger_uuid text, user_uuid text, url text, utm_campaign text, utm_content text, utm_medium text, utm_source text, \
    utm_term text";

const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", MESSAGE)
        .native("Email delivered|delivered")
        .when("the server took it"),
    CallType::track("Email Opened", MESSAGE).native("Email open|open").when("it was opened"),
    CallType::track("Email Link Clicked", MESSAGE).native("Email click|click").when("a link was clicked"),
    CallType::track("Email Bounced", MESSAGE).native("Email bounce|bounce").when("the server refused it"),
    CallType::track("Email Marked as Spam", MESSAGE)
        .native("Email spam_report|spam_report")
        .when("it was reported as spam"),
    CallType::track("Unsubscribe", MESSAGE)
        .native("Email unsubscribed|unsubscribed|Sms unsubscribed|Push unsubscribed")
        .when("the recipient wants no more, on whichever channel"),
    CallType::track("SMS Delivered", MESSAGE).native("Sms delivered").when("an SMS was delivered"),
    CallType::track("SMS Link Clicked", MESSAGE).native("Sms click").when("a link in an SMS was clicked"),
    CallType::track("SMS Bounced", MESSAGE).native("Sms bounce").when("an SMS was refused"),
    CallType::track("Push Delivered", MESSAGE).native("Push delivered").when("a push was delivered"),
    CallType::track("Push Opened", MESSAGE).native("Push open").when("a push was opened"),
    CallType::track("Push Clicked", MESSAGE).native("Push click").when("a push was tapped"),
    CallType::track("Push Bounced", MESSAGE).native("Push bounce").when("a push was refused"),
    CallType::track(
        "Campaign Execution Succeeded",
        "campaign_name text, campaign_uuid text, user json, message text, payload json",
    )
    .native("success")
    .when("a step of an event-triggered campaign sent its message"),
    CallType::track(
        "Campaign Execution Failed",
        "campaign_name text, campaign_uuid text, user json, error_message text, error_code int, payload json",
    )
    .native("failed")
    .when("a step of an event-triggered campaign could not send its message"),
];

/// Of the calls that Blueshift posts itself, as Segment's catalog spells them.
const POSTED: &str = "account_uuid text, campaign_uuid text, bucket_uuid text, trigger_uuid text, \
    experiment_uuid text, creative_uuid text, message_uuid text, trgger_timestamp time, trgger_type text, action text, \
    campaign_name text, campaign_exec_term text, creative_name text, utm_campaign text, utm_content text, \
    utm_medium text, utm_source text, utm_term text, sg_message_id text";

const SPEC: &[CallType] = &[
    CallType::track("Email Delivered", POSTED).when("the server took it"),
    CallType::track("Email Opened", POSTED).when("it was opened, and open tracking is on"),
    CallType::track("Email Link Clicked", POSTED).when("a link was clicked, and click tracking is on"),
    CallType::track("Email Bounced", POSTED).when("the server refused it"),
    CallType::track("Email Marked as Spam", POSTED).when("it was reported as spam"),
    CallType::track("Unsubscribe", POSTED).when("the subscription link was followed"),
];
