//! Dub: short links, and the leads, sales and partners that they lead to; one signed event a delivery.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("dub", "Dub", "attribution", "https://dub.co/docs/webhooks/introduction")
        .settings::<Dub>()
        .events::<Dub>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Dub source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dub {
    /// The webhook's signing secret (its tab *Update Details*); two while it is being changed, the newer first.
    #[serde(default)]
    signing_secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::Hmac(Hmac::body(Place::Header(&["dub-signature"]))))],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    id: &["id"],
    time: "createdAt",
    user: "data.customer.externalId",
    anonymous: "data.customer.id|data.click.id|data.partner.id|data.targetPartner.id|data.partnerId|data.id",
    email: "data.customer.email|data.partner.email|data.targetPartner.email|data.email",
    context: &[
        ("ip", "data.click.ip"),
        ("userAgent", "data.click.ua"),
        ("page.url", "data.click.url"),
        ("page.referrer", "data.click.refererUrl"),
    ],
    lift: &["data"],
    prefix: "data_",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Dub {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.signing_secret.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const CLICKED: CallType =
    CallType::track("Link Clicked", "click json, link json").when("a short link is clicked");
const LEAD: CallType = CallType::track(
    "Lead Created",
    "eventName text, customer json, click json, link json, partner json, metadata json",
)
.when("a lead is tracked; your name of it is in eventName");
const SALE: CallType = CallType::track(
    "Sale Created",
    "eventName text, customer json, click json, link json, partner json, sale json, metadata json",
)
.when("a sale is tracked; your name of it is in eventName");

/// What Dub posts itself with a write key.
const SPEC: &[CallType] = &[CLICKED, LEAD, SALE];

const LINK: &str = "data_id text, domain text, key text, url text, shortLink text, qrCode text, externalId text, \
    tenantId text, partnerId text, programId text, trackConversion bool, archived bool, expiresAt time, title text, \
    tags json, webhookIds json, folderId text, utm_source text, utm_medium text, utm_campaign text, utm_term text, \
    utm_content text, data_userId text, workspaceId text, clicks int, leads int, sales int, saleAmount int, \
    lastClicked time, createdAt time, updatedAt time";
const DISCOUNT: &str = "data_id text, code text, partnerId text, linkId text, disabledAt time, discount json";

const CALLS: &[CallType] = &[
    CLICKED.native("link.clicked"),
    LEAD.native("lead.created"),
    SALE.native("sale.created"),
    CallType::track("Link Created", LINK).native("link.created").when("a link is made"),
    CallType::track("Link Updated", LINK).native("link.updated").when("a link is changed"),
    CallType::track("Link Deleted", LINK).native("link.deleted").when("a link is deleted"),
    CallType::track(
        "Partner Enrolled",
        "data_id text, name text, email text, image text, country text, programId text, partnerId text, groupId text, \
         tenantId text, status text, website text, totalClicks int, totalLeads int, totalConversions int, \
         totalSales int, totalSaleAmount int, totalCommissions int, netRevenue int, links json, createdAt time",
    )
    .native("partner.enrolled")
    .when("a partner joins the programme"),
    CallType::track("Partner Application Submitted", "data_id text, partner json, applicationFormData json")
        .native("partner.application_submitted")
        .when("a partner applies"),
    CallType::track("Partner Merged", "sourcePartner json, targetPartner json, targetAlreadyEnrolled bool")
        .native("partner.merged")
        .when("two partners turn out to be one"),
    CallType::track(
        "Commission Created",
        "data_id text, type text, amount int, earnings int, currency text, status text, invoiceId text, \
         description text, quantity int, data_userId text, createdAt time, updatedAt time, partner json, \
         customer json, link json",
    )
    .native("commission.created")
    .when("a partner earns a commission, or is given one; amounts are in cents"),
    CallType::track(
        "Payout Confirmed",
        "data_id text, invoiceId text, amount int, currency text, status text, method text, description text, \
         periodStart time, periodEnd time, createdAt time, initiatedAt time, paidAt time, mode text, partner json",
    )
    .native("payout.confirmed")
    .when("a payout waits to be made by you (external payouts)"),
    CallType::track("Discount Code Created", DISCOUNT)
        .native("discount_code.created")
        .when("a partner gets a discount code"),
    CallType::track("Discount Code Deleted", DISCOUNT)
        .native("discount_code.deleted")
        .when("a discount code is deleted"),
];
