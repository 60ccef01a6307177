//! The records that are synced: 2.4 KB of nested JSON with 65 scalars, as an API for orders would answer them.
//!
//! The types are the hand-written side's: it borrows what it can. [`order`] makes one, the same for the same number.

use std::{borrow::Cow, error::Error, time::SystemTime};

use bytes::BytesMut;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Text, borrowed from the page where no escape stands in it.
type Text<'a> = Cow<'a, str>;

/// An order.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Order<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub object: Text<'a>,
    pub number: i64,
    #[serde(borrow)]
    pub reference: Text<'a>,
    #[serde(borrow)]
    pub status: Text<'a>,
    #[serde(borrow)]
    pub created_at: Text<'a>,
    #[serde(borrow)]
    pub updated_at: Text<'a>,
    pub closed_at: Option<Text<'a>>,
    #[serde(borrow)]
    pub currency: Text<'a>,
    pub amount: i64,
    pub amount_paid: i64,
    pub tax: f64,
    pub discount: f64,
    pub exchange_rate: f64,
    pub paid: bool,
    pub livemode: bool,
    pub attempt_count: i64,
    #[serde(borrow)]
    pub description: Text<'a>,
    pub note: Option<Text<'a>>,
    #[serde(borrow)]
    pub url: Text<'a>,
    #[serde(borrow)]
    pub customer: Customer<'a>,
    #[serde(borrow)]
    pub shipping: Shipping<'a>,
    #[serde(borrow)]
    pub payment: Payment<'a>,
    #[serde(borrow)]
    pub metadata: Metadata<'a>,
}

/// Who ordered.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Customer<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub email: Text<'a>,
    #[serde(borrow)]
    pub phone: Text<'a>,
    #[serde(borrow)]
    pub locale: Text<'a>,
    #[serde(borrow)]
    pub created_at: Text<'a>,
    pub score: f64,
    pub orders: i64,
    pub vip: bool,
    pub company: Option<Text<'a>>,
    #[serde(borrow)]
    pub address: Address<'a>,
}

/// Where to.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Address<'a> {
    #[serde(borrow)]
    pub line1: Text<'a>,
    pub line2: Option<Text<'a>>,
    #[serde(borrow)]
    pub city: Text<'a>,
    #[serde(borrow)]
    pub postal_code: Text<'a>,
    #[serde(borrow)]
    pub state: Text<'a>,
    #[serde(borrow)]
    pub country: Text<'a>,
    pub latitude: f64,
    pub longitude: f64,
}

/// By whom.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Shipping<'a> {
    #[serde(borrow)]
    pub carrier: Text<'a>,
    #[serde(borrow)]
    pub tracking_number: Text<'a>,
    #[serde(borrow)]
    pub method: Text<'a>,
    pub cost: i64,
    pub weight: f64,
    pub insured: bool,
    #[serde(borrow)]
    pub shipped_at: Text<'a>,
    pub delivered_at: Option<Text<'a>>,
}

/// With what.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Payment<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub method: Text<'a>,
    #[serde(borrow)]
    pub brand: Text<'a>,
    #[serde(borrow)]
    pub last4: Text<'a>,
    pub exp_month: i64,
    pub exp_year: i64,
    #[serde(borrow)]
    pub fingerprint: Text<'a>,
    pub captured: bool,
    pub fee: i64,
    pub risk_score: f64,
    #[serde(borrow)]
    pub risk_level: Text<'a>,
    #[serde(borrow)]
    pub paid_at: Text<'a>,
    pub failure_code: Option<Text<'a>>,
}

/// From where.
#[allow(missing_docs)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Metadata<'a> {
    #[serde(borrow)]
    pub campaign: Text<'a>,
    #[serde(borrow)]
    pub source: Text<'a>,
    #[serde(borrow)]
    pub medium: Text<'a>,
    #[serde(borrow)]
    pub session: Text<'a>,
    #[serde(borrow)]
    pub agent: Text<'a>,
    #[serde(borrow)]
    pub ip: Text<'a>,
}

/// A scalar of a record.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    Text(Option<&'a str>),
    Time(Option<&'a str>),
    Int(i64),
    Real(f64),
    Bool(bool),
}

use Scalar::{Bool, Int, Real, Time};

fn text<'a>(text: &'a Text<'_>) -> Scalar<'a> {
    Scalar::Text(Some(text))
}

fn time<'a>(text: &'a Text<'_>) -> Scalar<'a> {
    Time(Some(text))
}

impl ToSql for Scalar<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Scalar::Text(text) => text.to_sql(kind, out),
            Time(None) => Ok(IsNull::Yes),
            Time(Some(text)) => SystemTime::from(text.parse::<jiff::Timestamp>()?).to_sql(kind, out),
            Int(number) => number.to_sql(kind, out),
            Real(number) => number.to_sql(kind, out),
            Bool(value) => value.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Order<'_> {
    /// Its columns, the key first: name and value.
    pub fn columns(&self) -> [(&'static str, Scalar<'_>); 65] {
        let Self { customer, shipping, payment, metadata, .. } = self;
        let address = &customer.address;
        [
            ("id", text(&self.id)),
            ("object", text(&self.object)),
            ("number", Int(self.number)),
            ("reference", text(&self.reference)),
            ("status", text(&self.status)),
            ("created_at", time(&self.created_at)),
            ("updated_at", time(&self.updated_at)),
            ("closed_at", Time(self.closed_at.as_deref())),
            ("currency", text(&self.currency)),
            ("amount", Int(self.amount)),
            ("amount_paid", Int(self.amount_paid)),
            ("tax", Real(self.tax)),
            ("discount", Real(self.discount)),
            ("exchange_rate", Real(self.exchange_rate)),
            ("paid", Bool(self.paid)),
            ("livemode", Bool(self.livemode)),
            ("attempt_count", Int(self.attempt_count)),
            ("description", text(&self.description)),
            ("note", Scalar::Text(self.note.as_deref())),
            ("url", text(&self.url)),
            ("customer_id", text(&customer.id)),
            ("customer_name", text(&customer.name)),
            ("customer_email", text(&customer.email)),
            ("customer_phone", text(&customer.phone)),
            ("customer_locale", text(&customer.locale)),
            ("customer_created_at", time(&customer.created_at)),
            ("customer_score", Real(customer.score)),
            ("customer_orders", Int(customer.orders)),
            ("customer_vip", Bool(customer.vip)),
            ("customer_company", Scalar::Text(customer.company.as_deref())),
            ("customer_address_line1", text(&address.line1)),
            ("customer_address_line2", Scalar::Text(address.line2.as_deref())),
            ("customer_address_city", text(&address.city)),
            ("customer_address_postal_code", text(&address.postal_code)),
            ("customer_address_state", text(&address.state)),
            ("customer_address_country", text(&address.country)),
            ("customer_address_latitude", Real(address.latitude)),
            ("customer_address_longitude", Real(address.longitude)),
            ("shipping_carrier", text(&shipping.carrier)),
            ("shipping_tracking_number", text(&shipping.tracking_number)),
            ("shipping_method", text(&shipping.method)),
            ("shipping_cost", Int(shipping.cost)),
            ("shipping_weight", Real(shipping.weight)),
            ("shipping_insured", Bool(shipping.insured)),
            ("shipping_shipped_at", time(&shipping.shipped_at)),
            ("shipping_delivered_at", Time(shipping.delivered_at.as_deref())),
            ("payment_id", text(&payment.id)),
            ("payment_method", text(&payment.method)),
            ("payment_brand", text(&payment.brand)),
            ("payment_last4", text(&payment.last4)),
            ("payment_exp_month", Int(payment.exp_month)),
            ("payment_exp_year", Int(payment.exp_year)),
            ("payment_fingerprint", text(&payment.fingerprint)),
            ("payment_captured", Bool(payment.captured)),
            ("payment_fee", Int(payment.fee)),
            ("payment_risk_score", Real(payment.risk_score)),
            ("payment_risk_level", text(&payment.risk_level)),
            ("payment_paid_at", time(&payment.paid_at)),
            ("payment_failure_code", Scalar::Text(payment.failure_code.as_deref())),
            ("metadata_campaign", text(&metadata.campaign)),
            ("metadata_source", text(&metadata.source)),
            ("metadata_medium", text(&metadata.medium)),
            ("metadata_session", text(&metadata.session)),
            ("metadata_agent", text(&metadata.agent)),
            ("metadata_ip", text(&metadata.ip)),
        ]
    }
}

/// What the connector documents: 43 of the 65; the others are discovered.
pub const FIELDS: &str = "id text, object text, number int, reference text, status text, created_at time, updated_at time, \
    closed_at time, currency text, amount int, amount_paid int, tax real, discount real, exchange_rate real, paid bool, \
    livemode bool, attempt_count int, description text, note text, url text, customer_id text = customer.id, \
    customer_name text = customer.name, customer_email text = customer.email, customer_phone text = customer.phone, \
    customer_created_at time = customer.created_at, customer_score real = customer.score, \
    customer_orders int = customer.orders, customer_vip bool = customer.vip, shipping_carrier text = shipping.carrier, \
    shipping_tracking_number text = shipping.tracking_number, shipping_cost int = shipping.cost, \
    shipping_weight real = shipping.weight, shipping_shipped_at time = shipping.shipped_at, \
    shipping_delivered_at time = shipping.delivered_at, payment_id text = payment.id, payment_method text = payment.method, \
    payment_brand text = payment.brand, payment_last4 text = payment.last4, payment_captured bool = payment.captured, \
    payment_fee int = payment.fee, payment_risk_score real = payment.risk_score, payment_paid_at time = payment.paid_at, \
    payment_failure_code text = payment.failure_code";

/// The order of this number, as JSON. All ids and numbers have the same length.
pub fn order(number: u64) -> String {
    let mut random = SmallRng::seed_from_u64(number);
    let random = &mut random;
    let order = Order {
        id: id(number).into(),
        object: "order".into(),
        number: NUMBER + number as i64,
        reference: hex(random, 24),
        status: pick(random, &["open", "paid", "shipped", "delivered", "cancelled"]),
        created_at: moment(random),
        updated_at: moment(random),
        closed_at: some(random, moment),
        currency: pick(random, &["eur", "usd", "gbp", "jpy"]),
        amount: random.random_range(100..500_000),
        amount_paid: random.random_range(0..500_000),
        tax: hundredths(random, 10_000),
        discount: hundredths(random, 5_000),
        exchange_rate: random.random_range(0.5..1.5),
        paid: random.random(),
        livemode: true,
        attempt_count: random.random_range(1..4),
        description: words(random, 42).into(),
        note: some(random, |random| words(random, 16).into()),
        url: format!("https://shop.example.com/orders/{}/{}", number, hex(random, 16)).into(),
        customer: Customer {
            id: format!("cus_{}", hex(random, 14)).into(),
            name: words(random, 2).into(),
            email: format!("{}@example.com", hex(random, 10)).into(),
            phone: format!("+49 30 {:08}", random.random_range(0..100_000_000)).into(),
            locale: pick(random, &["de-DE", "en-GB", "ja-JP", "pt-BR"]),
            created_at: moment(random),
            score: random.random_range(0.0..1.0),
            orders: random.random_range(1..200),
            vip: random.random(),
            company: some(random, |random| words(random, 3).into()),
            address: Address {
                line1: words(random, 3).into(),
                line2: some(random, |random| words(random, 2).into()),
                city: pick(random, &["Zürich", "São Paulo", "大阪市", "Łódź", "Berlin", "Austin"]),
                postal_code: format!("{:05}", random.random_range(0..100_000)).into(),
                state: pick(random, &["BE", "TX", "SP", "ZH"]),
                country: pick(random, &["DE", "US", "BR", "CH", "JP"]),
                latitude: random.random_range(-90.0..90.0),
                longitude: random.random_range(-180.0..180.0),
            },
        },
        shipping: Shipping {
            carrier: pick(random, &["dhl", "ups", "fedex", "royal_mail"]),
            tracking_number: hex(random, 20),
            method: pick(random, &["standard", "express", "overnight"]),
            cost: random.random_range(0..5_000),
            weight: hundredths(random, 4_000),
            insured: random.random(),
            shipped_at: moment(random),
            delivered_at: some(random, moment),
        },
        payment: Payment {
            id: format!("pay_{}", hex(random, 24)).into(),
            method: pick(random, &["card", "sepa_debit", "paypal"]),
            brand: pick(random, &["visa", "mastercard", "amex"]),
            last4: format!("{:04}", random.random_range(0..10_000)).into(),
            exp_month: random.random_range(1..13),
            exp_year: random.random_range(2026..2034),
            fingerprint: hex(random, 40),
            captured: random.random(),
            fee: random.random_range(0..2_000),
            risk_score: hundredths(random, 100),
            risk_level: pick(random, &["normal", "elevated", "highest"]),
            paid_at: moment(random),
            failure_code: some(random, |random| pick(random, &["card_declined", "expired_card"])),
        },
        metadata: Metadata {
            campaign: words(random, 3).into(),
            source: pick(random, &["newsletter", "google", "partner", "direct"]),
            medium: pick(random, &["email", "cpc", "referral", "none"]),
            session: hex(random, 32),
            agent: pick(random, &AGENTS),
            ip: format!("203.0.113.{}", random.random_range(0..256)).into(),
        },
    };
    serde_json::to_string(&order).expect("it is JSON")
}

/// The id of the order of this number: always 16 bytes, in rising order.
pub fn id(number: u64) -> String {
    format!("ord_{number:012}")
}

/// What is added to an order's number, so that all are of the same length.
pub const NUMBER: i64 = 100_000_000_000;

const AGENTS: [&str; 2] = [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
];

const WORDS: [&str; 12] = [
    "alpine",
    "Bücher",
    "copper",
    "délai",
    "éclair",
    "forest",
    "green tea",
    "\"harbour\"",
    "île",
    "joyful",
    "kraft",
    "λ",
];

fn pick(random: &mut SmallRng, from: &[&'static str]) -> Text<'static> {
    from[random.random_range(0..from.len())].into()
}

fn words(random: &mut SmallRng, count: usize) -> String {
    (0..count).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" ")
}

fn hex(random: &mut SmallRng, length: usize) -> Text<'static> {
    (0..length)
        .map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)]))
        .collect::<String>()
        .into()
}

fn hundredths(random: &mut SmallRng, most: i64) -> f64 {
    random.random_range(0..most) as f64 / 100.0
}

fn moment(random: &mut SmallRng) -> Text<'static> {
    let time = jiff::Timestamp::from_millisecond(random.random_range(1_600_000_000_000..1_750_000_000_000));
    time.map(|time| format!("{time:.3}")).unwrap_or_default().into()
}

/// Three in four are there.
fn some<T>(random: &mut SmallRng, make: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    random.random_bool(0.75).then(|| make(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_the_size_that_is_said() {
        let sizes: Vec<usize> = (0..200).map(|number| order(number).len()).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((2350..2450).contains(&mean), "{mean}");
        let json = order(7);
        let order: Order = serde_json::from_str(&json).unwrap();
        assert_eq!(order.columns()[0], ("id", Scalar::Text(Some("ord_000000000007"))));
    }
}
