//! WorkRamp: what learners enrol in and complete, in academies (customers) and on the employees' side; one event a delivery.
//! The webhooks of academies carry `X-WorkRamp-Signature`, but how it is made is not published openly: it is not checked.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "workramp",
    "WorkRamp",
    "other",
    "https://developers.workramp.com/reference/introduction-to-webhooks",
)
.settings::<WorkRamp>()
.events::<WorkRamp>(&WEBHOOK)
.spec(SPEC);

/// Settings of a WorkRamp source: there are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkRamp {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None {
            why: "WorkRamp signs only the webhooks of academies, and does not publish openly how",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "eventType",
    // The assignment's; an event without one is told by what it holds.
    id: &["id", "eventType"],
    time: "timestamp",
    user: "user.id",
    otherwise: "user.email",
    email: "user.email",
    context: &[
        ("traits.firstName", "user.firstName"),
        ("traits.lastName", "user.lastName"),
        ("traits.name", "user.name"),
    ],
    // As WorkRamp's own Spec calls name them.
    names: &[
        ("certification.id", "certificationId"),
        ("path.id", "pathId"),
        ("guide.id", "contentId"),
        ("resource.id", "contentId"),
        ("scorm.id", "contentId"),
        ("challenge.id", "contentId"),
        ("certification.displayTitle", "contentTitle"),
        ("path.displayTitle", "contentTitle"),
        ("guide.displayTitle", "contentTitle"),
        ("resource.displayTitle", "contentTitle"),
        ("scorm.displayTitle", "contentTitle"),
        ("challenge.displayTitle", "contentTitle"),
    ],
    prefix: "assignment_",
    calls: CALLS,
    ..Mapping::NEW
};

/// What ends the name of an event of content.
const CONTENT: [&str; 6] = ["certification", "challenge", "guide", "path", "resource", "scorm"];

impl EventSource for WorkRamp {
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        delivery.header("x-workramp-test").map(|_| Handshake { reply: Reply::OK, then: None })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        let native = item.record.text("eventType")?.unwrap_or_default();
        let content = native.rsplit_once('.').map(|(_, kind)| kind).filter(|kind| CONTENT.contains(kind));
        call.properties.set_text("contentType", content);
        Ok(vec![call.into()])
    }
}

const LEARNT: &str = "assignment_id text, contentType text, contentId text, contentTitle text, certificationId text, \
    pathId text, certification json, guide json, path json, resource json, scorm json, user json";
const ASSIGNED: &str = "contentType text, contentId text, contentTitle text, pathId text, challengeAssignment json, \
    guideAssignment json, pathAssignment json, resourceAssignment json, scormAssignment json, \
    assignmentCompletionUserReportUrl text, guide json, path json, user json";

const CALLS: &[CallType] = &[
    CallType::track("User Registered", "user json").native("userRegistration").when("a learner registers"),
    CallType::track("Content Completed", LEARNT)
        .native(
            "contentCompletion.certification|contentCompletion.guide|contentCompletion.path|\
             contentCompletion.resource|contentCompletion.scorm",
        )
        .when("a learner of an academy completes something; contentType says what"),
    CallType::track("Content Enrolled", LEARNT)
        .native(
            "contentEnrollment.certification|contentEnrollment.guide|contentEnrollment.path|\
             contentEnrollment.resource|contentEnrolmment.resource|contentEnrollment.scorm",
        )
        .when("a learner of an academy enrols, or is enrolled"),
    CallType::track("Assignment Created", ASSIGNED)
        .native(
            "assignmentCreated.challenge|assignmentCreated.guide|assignmentCreated.path|\
             assignmentCreated.resource|assignmentCreated.scorm",
        )
        .when("an employee is assigned something"),
    CallType::track("Assignment Completed", ASSIGNED)
        .native(
            "assignmentCompleted.challenge|assignmentCompleted.guide|assignmentCompleted.path|\
             assignmentCompleted.resource|assignmentCompleted.scorm",
        )
        .when("an employee completes an assignment"),
    CallType::track("Assignment Progress", ASSIGNED)
        .native("assignmentProgress.challenge|assignmentProgress.guide|assignmentProgress.scorm")
        .when("an employee gets on with an assignment"),
    CallType::track("Assignment Deleted", ASSIGNED)
        .native(
            "assignmentDeleted.challenge|assignmentDeleted.guide|assignmentDeleted.path|\
             assignmentDeleted.resource|assignmentDeleted.scorm",
        )
        .when("an assignment is taken back"),
    CallType::track("Event Session Attendee Created", "user json")
        .native("eventSession.attendee.created")
        .when("an employee is put on the list of a session"),
    CallType::track("Event Session Attendee Status Changed", "user json")
        .native("eventSession.attendee.statusChanged")
        .when("an attendee's status changes"),
    CallType::track("Event Session Attendee Deleted", "user json")
        .native("eventSession.attendee.deleted")
        .when("an employee is taken off the list of a session"),
    CallType::track("User Created", "user json").native("userCreated").when("an employee's user is made"),
    CallType::track("User Deleted", "user json").native("userDeleted").when("an employee's user is deleted"),
];

/// What WorkRamp documents for all that it posts itself with a write key; fields of the registration come on top.
const SHARED: &str = "academyTitle text, timeStamp time, receivedAt time, accessedDate time, userId text, \
    user.email text, user.name text, searchTerm text, contentId text, contentTitle text, contentType text, \
    certificationId text, certificationShortId text, pathId text, taskId text, assignmentScore numeric";

const SPEC: &[CallType] = &[
    CallType::track("User Registered", SHARED).when("a learner registers"),
    CallType::track("User Login", SHARED).when("a learner logs in"),
    CallType::track("User Logout", SHARED).when("a learner logs out from the menu"),
    CallType::track("Search", SHARED).when("something is searched for"),
    CallType::track("Search Result Clicked", SHARED).when("what was found is clicked"),
    CallType::track("Content Started", SHARED).when("a course is begun"),
    CallType::track("Content Resumed", SHARED).when("a course is continued"),
    CallType::track("Task Viewed", SHARED).when("a task is seen"),
    CallType::track("Task Completed", SHARED).when("a task is left by Next"),
    CallType::track("Content Completed", SHARED).when("a course, path or certification is completed"),
    CallType::track("Content Reviewed", SHARED).when("completed content is opened again"),
    CallType::track("Enters Training: Path", SHARED).when("a path is begun or continued"),
    CallType::track("Enters Training: Certification", SHARED).when("a certification is begun or continued"),
    CallType::track("Copies Public Link to Certification", SHARED).when("the public link is copied"),
    CallType::track("Clicks “Adds Certification to LinkedIn”", SHARED)
        .when("a certification is added to LinkedIn"),
    CallType::track("Downloads Certification", SHARED).when("a certificate is downloaded"),
    CallType::track("Views Content", SHARED).when("content is shown"),
    CallType::track("Hides Content", SHARED).when("content is hidden"),
    CallType::track("Event Viewed", SHARED).when("an event's page is opened"),
    CallType::track("Register Now for Event Session", SHARED).when("a session is signed up for"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_answered_and_kept_nowhere() {
        let mut delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), "{}".into());
        assert_eq!(WorkRamp {}.handshake(&delivery), None);
        delivery.headers.insert("x-workramp-test", "true".parse().unwrap());
        assert_eq!(WorkRamp {}.handshake(&delivery), Some(Handshake { reply: Reply::OK, then: None }));
    }
}
