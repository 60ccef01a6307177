//! Friendbuy: referrals, rewards and loyalty. Events of one type that come close together share a delivery (`data`).

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("friendbuy", "Friendbuy", "referral", "https://developers.friendbuy.com")
        .settings::<Friendbuy>()
        .events::<Friendbuy>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Friendbuy source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Friendbuy {
    /// The account's secret key (Developer Center); two while it is being changed, the newer first.
    #[serde(default)]
    secret_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "data",
        Signature::Hmac(Hmac {
            encoding: Encoding::Base64,
            ..Hmac::body(Place::Header(&["x-friendbuy-hmac-sha256"]))
        }),
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "envelope:type",
    id: &["rewardId|transactionId|receiptId|eventId"],
    time: "createdOn|updatedOn|envelope:createdOn",
    user: "customerId",
    anonymous: "emailAddress|email|customerEmail",
    email: "emailAddress|email|customerEmail",
    context: &[("ip", "ipAddress"), ("traits.phone", "mobileNumber")],
    names: &[
        ("emailAddress", "email"),
        ("customerEmail", "email"),
        ("mobileNumber", "phone"),
        ("customerId", "customer_id"),
        ("name", "customer_name"),
        ("customerName", "name"),
        ("ipAddress", "ip"),
        ("couponCode", "coupon_code"),
        ("rewardAmount", "reward_value"),
        ("rewardUnit", "reward_currency"),
        ("rewardTrigger", "conversion_event"),
        ("campaignId", "campaign_id"),
        ("campaignName", "campaign_name"),
        ("campaign.id", "campaign_id"),
        ("campaign.name", "campaign_name"),
        ("referral.channel", "share_channel"),
        ("referral.code", "referral_code"),
        ("advocateEmailAddress", "advocate_email"),
        ("advocateCustomerId", "advocate_customer_id"),
        ("advocate.email", "advocate_email"),
        ("advocate.name", "advocate_name"),
        ("incentive.couponCode", "coupon_code"),
        ("incentive.amount", "incentive_value"),
        ("value", "credit_amount"),
        ("ledgerCurrency", "reward_currency"),
        ("ledgerBalance", "customer_running_balance"),
        ("note", "credit_description"),
    ],
    prefix: "webhook_",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Friendbuy {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        // The same things have other names beside a friend, an advocate and a member.
        let names: &[(&str, &str)] = match item.envelope.text("type")?.as_deref() {
            Some("friendIncentive") => {
                &[("reward_value", "incentive_value"), ("reward_currency", "incentive_currency")]
            }
            Some("loyaltyReward" | "ledgerTransaction") => &[("conversion_event", "earning_event")],
            Some("emailCapture") if item.record.at("advocate")?.is_none() => {
                call.name = Some("Advocate Created".into());
                &[]
            }
            Some("emailCapture") => &[("referral_code", "advocate_referral_code")],
            _ => &[],
        };
        for (from, to) in names {
            call.properties.rename(from, to);
        }
        Ok(vec![call.into()])
    }
}

const SPEC: &[CallType] = &[
    CallType::track(
        "Advocate Created",
        "email text, phone text, customer_id text, ip text, referral_link text, referral_code text, \
         campaign_name text, campaign_id text, customer_name text, widget_name text, ab_test_variant_id text, \
         email_marketing_opt_in_status, sms_marketing_opt_in_status",
    )
    .when("an advocate gives an address or number in the referral widget"),
    CallType::track(
        "Referred Friend Created",
        "email text, phone text, customer_id text, ip text, advocate_referral_code text, campaign_name text, \
         campaign_id text, customer_name text, widget_name text, ab_test_variant_id text, \
         email_marketing_opt_in_status, sms_marketing_opt_in_status",
    )
    .when("a friend gives an address or number in the friend widget"),
    CallType::track(
        "Referral Share",
        "email text, phone text, customer_id text, share_channel text, referral_link text, email_share_reminder, \
         referral_code text, campaign_name text, campaign_id text, widget_name text, ab_test_variant_id text",
    )
    .when("an advocate shares by email, link, SMS or a network"),
    CallType::track(
        "Referral Advocate Reward Earned",
        "email text, customer_id text, ip text, coupon_code text, reward_value numeric, reward_currency text, \
         campaign_name text, campaign_id text, conversion_event text, friend_email text, friend_customer_id text, \
         friend_ip_address text, friend_purchase_total numeric, friend_order_id text, friend_new_customer_status, \
         reward_tier text, widget_name text, ab_test_variant_id text, share_channel text, referral_code text",
    )
    .when("a friend converts, the checks pass, and the advocate is rewarded"),
    CallType::track(
        "Referral Friend Incentive Earned",
        "email text, customer_id text, ip text, coupon_code text, incentive_value numeric, incentive_currency text, \
         campaign_name text, campaign_id text, conversion_event text, incentive_tier text, ab_test_variant_id text, \
         share_channel text, referral_code text, advocate_email text, advocate_customer_id text, \
         advocate_ip_address text, widget_name text, friend_purchase_total numeric, friend_order_id text, \
         friend_new_customer_status",
    )
    .when("a friend converts, the checks pass, and the friend is rewarded"),
    CallType::track(
        "Referral Advocate Reward Rejected",
        "email text, customer_id text, ip text, rejection_reasons, campaign_name text, campaign_id text, \
         conversion_event text, friend_email text, friend_customer_id text, friend_ip_address text, \
         friend_purchase_total numeric, friend_order_id text, friend_new_customer_status, reward_tier text, \
         widget_name text, ab_test_variant_id text, share_channel text, referral_code text",
    )
    .when("rules or fraud checks refuse an advocate's reward"),
    CallType::track(
        "Referral Friend Incentive Rejected",
        "email text, customer_id text, ip text, rejection_reasons, campaign_name text, campaign_id text, \
         conversion_event text, reward_tier text, ab_test_variant_id text, share_channel text, referral_code text, \
         advocate_email text, advocate_customer_id text, advocate_ip_address text, widget_name text, \
         friend_purchase_total numeric, friend_order_id text, friend_new_customer_status",
    )
    .when("rules or fraud checks refuse a friend's incentive"),
    CallType::track(
        "Loyalty Reward Earned",
        "email text, customer_id text, ip text, earning_event text, friend_email text, friend_customer_id text, \
         friend_ip_address text, coupon_code text, reward_value numeric, reward_currency text, campaign_name text, \
         campaign_id text, order_id text, purchase_total numeric, birthday text",
    )
    .when("a member earns a reward"),
    CallType::track(
        "Loyalty Credit Earned",
        "email text, customer_id text, earning_event text, credit_amount numeric, reward_currency text, \
         customer_running_balance numeric, credit_event_type text, credit_issuer text, credit_description text",
    )
    .when("a member's credit changes"),
];

const CALLS: &[CallType] = &[
    CallType::track(
        "Referral Advocate Reward Earned",
        "email text, customer_id text, ip text, coupon_code text, reward_value numeric, reward_currency text, \
         rewardType text, rewardInfo text, conversion_event text, friends json",
    )
    .native("advocateReward")
    .when("a friend converts and the advocate is rewarded"),
    CallType::track(
        "Referral Friend Incentive Earned",
        "email text, customer_id text, ip text, coupon_code text, incentive_value numeric, incentive_currency text, \
         rewardType text, conversion_event text, advocate_email text, advocate_customer_id text",
    )
    .native("friendIncentive")
    .when("a friend converts and is rewarded"),
    CallType::track(
        "Loyalty Reward Earned",
        "email text, customer_id text, ip text, coupon_code text, reward_value numeric, reward_currency text, \
         rewardType text, earning_event text",
    )
    .native("loyaltyReward")
    .when("a member earns a reward"),
    CallType::track(
        "Loyalty Credit Earned",
        "customer_id text, credit_amount numeric, reward_currency text, customer_running_balance numeric, \
         sourceName text, credit_description text",
    )
    .native("ledgerTransaction")
    .when("a member's balance is credited or debited"),
    CallType::track(
        "Referred Friend Created",
        "email text, customer_name text, phone text, campaign_id text, campaign_name text, share_channel text, \
         advocate_referral_code text, advocate_email text, advocate_name text, attributionId text, \
         coupon_code text, incentive_value numeric",
    )
    .native("emailCapture")
    .when("a friend gives an address: the event names an advocate"),
    CallType::track(
        "Advocate Created",
        "email text, customer_name text, phone text, campaign_id text, campaign_name text, share_channel text, \
         referral_code text, attributionId text",
    )
    .when("somebody gives an address, and the event names no advocate"),
    CallType::track("Unsubscribed", "email text, campaign_id text, campaign_name text")
        .native("emailOptOut")
        .when("a friend unsubscribes from shared emails"),
    CallType::track(
        "Receipt Processed",
        "email text, customer_id text, eventId text, status text, merchantId text, storeName text, storeId text, \
         storeAddress text, storeCity text, storeState text, storeCountry text, purchaseDate time, \
         submissionDate time, subtotal numeric, total numeric, currency text, products json",
    )
    .native("receipt")
    .when("a receipt that a member has sent in is read"),
    CallType::new(
        CallKind::Identify,
        "",
        "customer_id text, email text, name text, loyaltyDetails json, memberTierDetails json",
    )
    .native("customerUpdate")
    .when("a member opts in or out, or changes tier"),
];
