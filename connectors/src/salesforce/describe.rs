//! The account's own catalog: which objects it has, and their fields with their types.

use std::collections::HashSet;

use headwater_core::{
    name::distinct,
    object::{Type, intern},
    prelude::*,
};

use super::{
    Salesforce, api,
    collections::{FURTHER, changed},
    fault::Fault,
};

/// Descriptions that one composite request may ask for. Each still counts as a call.
const BATCH: usize = 25;

/// One of the objects that the account lists.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    queryable: bool,
}

/// The fields of an object.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    fields: Vec<FieldOf>,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct FieldOf {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Salesforce {
    /// The declared collections as this account has them, and the further objects that the settings name. One that
    /// the account does not have, or hides, stays in the list with the reason, and is not read.
    pub(super) async fn describe(&self, client: &Client, declared: &[Collection]) -> Result<Vec<Collection>> {
        let answer = client.send(Request::get(api!("/sobjects"))).await?;
        let listed: Vec<Listed> = Record::parse(&answer.body)?.get("sobjects")?;
        let queryable: HashSet<&str> =
            listed.iter().filter(|object| object.queryable).map(|object| object.name.as_str()).collect();

        let mut all = declared.to_vec();
        all.extend(self.further(&listed, declared)?);
        let mut present: Vec<&mut Collection> = Vec::with_capacity(all.len());
        for collection in &mut all {
            match object(collection) {
                _ if collection.gone.is_some() => {}
                name if queryable.contains(name) => present.push(collection),
                name => {
                    collection.gone = Some(intern(&format!(
                        "this account has no {name}: the feature is off, or the user may not see it"
                    )));
                }
            }
        }
        for batch in present.chunks_mut(BATCH) {
            self.describe_batch(client, batch).await?;
        }
        Ok(all)
    }

    /// Collections for the objects that only the settings name.
    fn further(&self, listed: &[Listed], declared: &[Collection]) -> Result<Vec<Collection>> {
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some(wrong) = self.custom_objects.iter().find(|name| *name != "*" && !is_name(name)) {
            return Err(Error::config(format!("custom_objects: {wrong:?} is not the API name of an object")));
        }
        let mut taken: HashSet<String> =
            declared.iter().map(|collection| collection.name.to_owned()).collect();
        let mut objects: HashSet<&str> = declared.iter().map(object).collect();
        let custom = listed.iter().filter(|object| object.queryable && object.name.ends_with("__c"));
        let wanted = self.custom_objects.iter().flat_map(|wanted| match wanted.as_str() {
            "*" => custom.clone().map(|object| object.name.as_str()).collect(),
            name => vec![name],
        });
        Ok(wanted
            .filter(|name| !name.is_empty() && objects.insert(name))
            .map(|name| Collection {
                name: intern(&distinct(name, &mut taken)),
                endpoint: Endpoint::get(intern(&format!(api!("/sobjects/{}"), name))),
                ..FURTHER
            })
            .collect())
    }

    async fn describe_batch(&self, client: &Client, batch: &mut [&mut Collection]) -> Result<()> {
        let requests: Vec<Value> = batch
            .iter()
            .map(|collection| {
                // The version, without what stands before it.
                let url = collection.endpoint.path.trim_start_matches("/services/data/");
                json!({ "method": "GET", "url": format!("{url}/describe") })
            })
            .collect();
        let body = json!({ "batchRequests": requests }).to_string();
        let answer = client.send(Request::post(api!("/composite/batch"), body)).await?;
        let results = Record::parse(&answer.body)?.parts("results")?;
        if results.len() != batch.len() {
            return Err(Error::unexpected("the batch of descriptions has not as many answers as requests"));
        }
        for (collection, result) in batch.iter_mut().zip(results) {
            let status: u16 = result.get("statusCode")?;
            if status < 300 {
                let described: Described = result.get("result")?;
                **collection = described.fit(collection);
                continue;
            }
            let faults: Vec<Fault> = result.get("result")?;
            let error = match faults.first() {
                Some(fault) => fault.error(status),
                None => Error::unexpected(format!("{} is not described", object(collection))),
            };
            if error.kind().is_temporary() || error.kind() == Kind::Auth {
                return Err(error);
            }
            collection.gone = Some(intern(&format!("the account does not describe it: {}", error.message())));
        }
        Ok(())
    }
}

impl Described {
    /// The collection with the object's real columns, told by what fields it really has.
    ///
    /// Left out are compound fields (addresses, places, whose parts are fields of their own; Bulk cannot query
    /// them) and what only a request for each row brings (base64).
    pub(super) fn fit(&self, collection: &Collection) -> Collection {
        let has = |name: &str| self.fields.iter().any(|field| field.name == name);
        let since = collection.since.and_then(|_| {
            let declared = time(collection);
            declared
                .into_iter()
                .chain(["SystemModstamp", "LastModifiedDate", "CreatedDate"])
                .find(|name| has(name))
                .map(changed)
        });
        let field = since.and_then(|since| time(&Collection { since: Some(since), ..*collection }));
        let deletes = match collection.deletes {
            _ if collection.since.is_some() && since.is_none() => Deletes::Unseen,
            Deletes::Flag(flag, _) if !has(flag) => Deletes::Never,
            deletes => deletes,
        };
        let mut columns = HashSet::new();
        let mut fields = String::new();
        for FieldOf { name, kind } in &self.fields {
            let flag = matches!(deletes, Deletes::Flag(flag, _) if flag == name);
            if let (Some(kind), false) = (column_type(kind), flag) {
                let column = distinct(name, &mut columns);
                let comma = if fields.is_empty() { "" } else { ", " };
                fields.push_str(&format!("{comma}{column} {} = {name}", kind.name()));
            }
        }
        Collection {
            fields: intern(&fields),
            since,
            deletes,
            version: match field {
                Some("CreatedDate") => None,
                Some(field) => Some(field),
                None => collection.version.filter(|version| has(version)),
            },
            ..*collection
        }
    }
}

/// The API name of a collection's object: the last step of its path.
pub(super) fn object(collection: &Collection) -> &'static str {
    collection.endpoint.path.rsplit('/').next().unwrap_or_default()
}

/// The field that a collection's changes are told by.
pub(super) fn time(collection: &Collection) -> Option<&'static str> {
    match collection.since {
        Some(Since::Time { field, .. }) => Some(field),
        _ => None,
    }
}

/// What a column of one of Salesforce's field types holds; none for a field that is not read.
fn column_type(kind: &str) -> Option<Type> {
    Some(match kind {
        "address" | "location" | "base64" | "complexvalue" => return None,
        "boolean" => Type::Bool,
        "int" | "long" => Type::Int,
        "double" | "currency" | "percent" => Type::Numeric,
        "date" => Type::Date,
        "datetime" => Type::Time,
        "json" => Type::Json,
        // id, reference, string, picklist, textarea, time, anyType, … and whatever comes to be.
        _ => Type::Text,
    })
}
