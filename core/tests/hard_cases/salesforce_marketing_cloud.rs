//! Salesforce Marketing Cloud's lists: SOAP, with the token in the SOAP header, and REST beside it on a second host.

use headwater_core::{auth::OAuth, format, prelude::*};

pub const CONNECTOR: Connector = Connector::new(
    "salesforce-marketing-cloud",
    "Salesforce Marketing Cloud",
    "marketing",
    "https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/soap-api.html",
)
.settings::<MarketingCloud>()
.objects::<MarketingCloud>(COLLECTIONS, &[]);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MarketingCloud {
    /// The 28 characters before `.auth.marketingcloudapis.com`.
    subdomain: String,
    client_id: String,
    client_secret: Secret,
    /// The business unit (MID); the token's own if left out.
    account_id: Option<String>,
}

const COLLECTIONS: &[Collection] = &[Collection {
    name: "lists",
    fields: "id int = ID, object_id text = ObjectID, customer_key text = CustomerKey, list_name text = ListName, \
             description text = Description, category int = Category, type text = Type, \
             list_classification text = ListClassification, partner_key text = PartnerKey, \
             created_date time = CreatedDate, modified_date time = ModifiedDate, client_id int = Client.ID, \
             client_created_by int = Client.CreatedBy, client_modified_by int = Client.ModifiedBy, \
             client_user_id int = Client.UserID, client_customer_key text = Client.CustomerKey, \
             client_partner_client_key text = Client.PartnerClientKey, \
             client_partner_user_key text = Client.PartnerUserKey",
    endpoint: Endpoint::post("/Service.asmx", ENVELOPE)
        .host("soap")
        .headers(&[("content-type", "text/xml"), ("soapaction", "Retrieve")]),
    // Prefixes of names are left out: soap:Body is Body.
    records: "Envelope.Body.RetrieveResponseMsg.Results",
    format: Format::Xml,
    pages: Pages::Custom,
    since: Some(Since::Time {
        field: "ModifiedDate",
        from: Put::Path("from"),
        until: Some(Put::Path("to")),
        format: TimeFormat::Rfc3339,
        overlap: Duration::from_secs(600),
        lag: Duration::from_secs(60),
        first: None,
    }),
    ..Collection::DEFAULT
}];

/// The client puts the access token in for `{token}`; a request is a new retrieval, or goes on with one.
const ENVELOPE: &str = concat!(
    r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>"#,
    r#"<fueloauth xmlns="http://exacttarget.com">{token}</fueloauth></s:Header><s:Body>"#,
    r#"<RetrieveRequestMsg xmlns="http://exacttarget.com/wsdl/partnerAPI"><RetrieveRequest>{request}</RetrieveRequest>"#,
    r#"</RetrieveRequestMsg></s:Body></s:Envelope>"#
);

const PROPERTIES: &[&str] = &[
    "ID",
    "ObjectID",
    "CustomerKey",
    "ListName",
    "Description",
    "Category",
    "Type",
    "ListClassification",
    "PartnerKey",
    "CreatedDate",
    "ModifiedDate",
    "Client.ID",
];

#[async_trait]
impl ObjectSource for MarketingCloud {
    fn api(&self, account: &Account) -> Result<Api> {
        // The token's reply names the hosts; before the first check they are made of the subdomain.
        let host = |kind: &str| {
            let named =
                account.extra[format!("{kind}_instance_url")].as_str().map(|url| url.trim_end_matches('/'));
            named.map_or_else(
                || format!("https://{}.{kind}.marketingcloudapis.com", self.subdomain),
                str::to_owned,
            )
        };
        let oauth = OAuth {
            token_url: format!("{}/v2/token", host("auth")),
            client_id: self.client_id.clone(),
            client_secret: Some(self.client_secret.clone()),
            client_auth: ClientAuth::Json,
            grant: Grant::ClientCredentials,
            scopes: Vec::new(),
            extra: self.account_id.iter().map(|id| ("account_id".to_owned(), id.clone())).collect(),
            carry: Carry::Bearer,
        };
        let soap = Auth::OAuth(OAuth { carry: Carry::Body, ..oauth.clone() });
        Ok(Api::new(host("rest"), Auth::OAuth(oauth)).host("soap", host("soap"), soap).judge(judge))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let answer = client.send(Request::get("/platform/v1/tokenContext")).await?;
        let context = Record::parse(&answer.body)?;
        let extra = client.token().await?.extra;
        Ok(Account {
            id: context.text("organization.id")?.unwrap_or_default(),
            title: self.subdomain.clone(),
            extra,
        })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        let request = match pull.read.page.as_str() {
            // These ids live briefly: one that is no longer known has expired, and the read begins again.
            Some(id) => format!("<ContinueRequest>{id}</ContinueRequest>"),
            None => retrieve(pull.read),
        };
        let body = pull.collection.endpoint.body.replace("{request}", &request);
        let mut ask = Request::post(pull.collection.endpoint.path, body).at("soap");
        for (name, value) in pull.collection.endpoint.headers {
            ask = ask.header(*name, *value);
        }
        let answer = pull.client.send(ask).await?;
        let reply = Record::parse(&format::document(&pull.collection.format, &answer.body)?)?;
        let message = "Envelope.Body.RetrieveResponseMsg";
        let lists = reply.parts(pull.collection.records)?;
        Ok(Page {
            changes: lists.into_iter().map(|list| Change::upsert("lists", list)).collect(),
            more: reply.text(&format!("{message}.OverallStatus"))?.as_deref() == Some("MoreDataAvailable"),
            cursor: reply.text(&format!("{message}.RequestID"))?.map_or(Value::Null, Value::from),
            ..Page::default()
        })
    }
}

fn retrieve(read: &Read) -> String {
    let mut request = "<ObjectType>List</ObjectType>".to_owned();
    for property in PROPERTIES {
        request += &format!("<Properties>{property}</Properties>");
    }
    if let Some(from) = read.from {
        // The server's own time is UTC-6 all the year round, without a mark; with one it converts.
        let from = TimeFormat::Rfc3339.write(from);
        request += &format!(
            r#"<Filter xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="SimpleFilterPart"><Property>ModifiedDate</Property><SimpleOperator>greaterThanOrEqual</SimpleOperator><DateValue>{from}</DateValue></Filter>"#
        );
    }
    request
}

fn judge(answer: &Answer) -> Option<Error> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let (_, status) = text.split_once("<OverallStatus>")?;
    let (status, _) = status.split_once("</OverallStatus>")?;
    status.starts_with("Error").then(|| Error::unexpected(status))
}
