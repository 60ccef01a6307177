//! The objects of Segment's catalog: how each of them tells what changed, and whether it shows deletions. Their
//! columns are in none of these lines: they are what an account describes.

use headwater_core::prelude::*;

use super::api;

/// A row moves to a new `SystemModstamp` with every change, also the system's own, and when it is deleted: `queryAll`
/// then still has it, until it is purged.
const CHANGES: Collection = Collection {
    fields: "id text = Id",
    records: "records",
    pages: Pages::Custom,
    since: Some(changed("SystemModstamp")),
    version: Some("SystemModstamp"),
    deletes: Deletes::Flag("IsDeleted", "true"),
    ..Collection::DEFAULT
};

/// As above, but rows vanish without a trace.
const KEPT: Collection = Collection { deletes: Deletes::Never, ..CHANGES };

/// A few rows of the account's set-up, which fit in one answer: read whole, so that deletions show.
const SETUP: Collection = Collection { since: None, deletes: Deletes::Unseen, ..CHANGES };

/// Only for objects without a `SystemModstamp`.
const MODIFIED: Collection =
    Collection { since: Some(changed("LastModifiedDate")), version: Some("LastModifiedDate"), ..CHANGES };

/// Changes by this field. A change gets its time before its transaction is committed, and a transaction may take
/// minutes: hence the overlap.
pub(super) const fn changed(field: &'static str) -> Since {
    Since::Time {
        field,
        from: Put::Path("from"),
        until: Some(Put::Path("until")),
        format: TimeFormat::Rfc3339,
        overlap: Duration::from_secs(15 * 60),
        lag: Duration::from_secs(60),
        first: None,
    }
}

/// Where an object stands in the API; the last step is its name in SOQL.
macro_rules! object {
    ($name:literal) => {
        Endpoint::get(concat!(api!("/sobjects/"), $name))
    };
}

/// What an object that only the settings name is taken for until it is described.
pub(super) const FURTHER: Collection = CHANGES;

pub(super) static COLLECTIONS: &[Collection] = &[
    Collection { name: "accounts", endpoint: object!("Account"), ..CHANGES },
    Collection { name: "account_contact_roles", endpoint: object!("AccountContactRole"), ..CHANGES },
    Collection { name: "account_tags", endpoint: object!("AccountTag"), ..CHANGES },
    Collection { name: "campaigns", endpoint: object!("Campaign"), ..CHANGES },
    Collection { name: "campaign_members", endpoint: object!("CampaignMember"), ..CHANGES },
    Collection { name: "campaign_shares", endpoint: object!("CampaignShare"), ..MODIFIED },
    Collection { name: "campaign_tags", endpoint: object!("CampaignTag"), ..CHANGES },
    Collection { name: "cases", endpoint: object!("Case"), ..CHANGES },
    Collection { name: "case_comments", endpoint: object!("CaseComment"), ..CHANGES },
    Collection { name: "case_contact_role", endpoint: object!("CaseContactRole"), ..CHANGES },
    Collection { name: "case_solution", endpoint: object!("CaseSolution"), ..CHANGES },
    Collection { name: "case_tags", endpoint: object!("CaseTag"), ..CHANGES },
    Collection { name: "contacts", endpoint: object!("Contact"), ..CHANGES },
    Collection { name: "contact_tags", endpoint: object!("ContactTag"), ..CHANGES },
    Collection { name: "contracts", endpoint: object!("Contract"), ..CHANGES },
    Collection { name: "contract_tags", endpoint: object!("ContractTag"), ..CHANGES },
    Collection { name: "dashboards", endpoint: object!("Dashboard"), ..CHANGES },
    Collection { name: "dashboard_tags", endpoint: object!("DashboardTag"), ..CHANGES },
    Collection { name: "documents", endpoint: object!("Document"), ..CHANGES },
    Collection { name: "document_tags", endpoint: object!("DocumentTag"), ..CHANGES },
    Collection { name: "events", endpoint: object!("Event"), ..CHANGES },
    Collection { name: "event_tags", endpoint: object!("EventTag"), ..CHANGES },
    Collection { name: "_group", endpoint: object!("Group"), ..KEPT },
    Collection { name: "leads", endpoint: object!("Lead"), ..CHANGES },
    Collection { name: "lead_tags", endpoint: object!("LeadTag"), ..CHANGES },
    Collection {
        name: "names",
        gone: Some(
            "Salesforce's Name is no object that can be queried, only what a lookup to several objects shows; the \
             names are in the rows of those objects (accounts, users, …)",
        ),
        ..CHANGES
    },
    Collection { name: "notes", endpoint: object!("Note"), ..CHANGES },
    Collection { name: "note_tags", endpoint: object!("NoteTag"), ..CHANGES },
    Collection { name: "opportunities", endpoint: object!("Opportunity"), ..CHANGES },
    Collection { name: "opportunity_competitor", endpoint: object!("OpportunityCompetitor"), ..CHANGES },
    Collection { name: "opportunity_contact_role", endpoint: object!("OpportunityContactRole"), ..CHANGES },
    // Rows are only ever added.
    Collection {
        name: "opportunity_field_history",
        endpoint: object!("OpportunityFieldHistory"),
        since: Some(changed("CreatedDate")),
        version: None,
        ..CHANGES
    },
    Collection { name: "opportunity_product", endpoint: object!("OpportunityLineItem"), ..CHANGES },
    Collection {
        name: "opportunity_line_item_schedules",
        endpoint: object!("OpportunityLineItemSchedule"),
        ..CHANGES
    },
    Collection { name: "opportunity_stage", endpoint: object!("OpportunityStage"), ..SETUP },
    Collection { name: "opportunity_tag", endpoint: object!("OpportunityTag"), ..CHANGES },
    Collection { name: "period", endpoint: object!("Period"), ..SETUP },
    Collection { name: "price_books", endpoint: object!("Pricebook2"), ..CHANGES },
    Collection { name: "price_book_entries", endpoint: object!("PricebookEntry"), ..CHANGES },
    Collection { name: "products", endpoint: object!("Product2"), ..CHANGES },
    Collection { name: "profile", endpoint: object!("Profile"), ..SETUP },
    Collection { name: "solutions", endpoint: object!("Solution"), ..CHANGES },
    Collection { name: "solution_tags", endpoint: object!("SolutionTag"), ..CHANGES },
    Collection { name: "tasks", endpoint: object!("Task"), ..CHANGES },
    Collection { name: "task_tags", endpoint: object!("TaskTag"), ..CHANGES },
    Collection { name: "users", endpoint: object!("User"), ..KEPT },
    Collection { name: "user_login", endpoint: object!("UserLogin"), deletes: Deletes::Never, ..MODIFIED },
    Collection { name: "role", endpoint: object!("UserRole"), ..KEPT },
];
