//! Every connector of Headwater, one module each. This page is the registry.
//!
//! To add one:
//!
//! 1. Write `src/<vendor>.rs`: the vendor's slug in snake case, with `pub const CONNECTOR: Connector`. A connector is
//!    values; `segment` is the smallest, `klaviyo` has webhooks, `zendesk` has objects.
//! 2. Add a `mod` and an entry of [`ALL`] below, both in alphabetical order. A module that is not listed does not
//!    build: its constant is dead code.
//! 3. Put what it must offer and what the vendor really sends into `fixtures/<vendor>/`: the laws in
//!    `tests/conformance` run over it without another line.
//!
//! `headwater new <vendor>` does the first two steps and opens the third.

#![deny(dead_code)]

use headwater_core::connector::Connector;

mod activecampaign;
mod aircall;
mod airship;
mod alloyflow;
mod amazon_s3;
mod amplitude_cohorts;
mod antavo;
mod authvia;
mod autopilothq;
mod beamer;
mod blip;
mod bluedot;
mod blueshift;
mod braze;
mod candu;
mod chatlio;
mod clevertap;
mod cloudevents;
mod commandbar;
mod configcat;
mod customer_io;
mod delighted;
mod deway_ai;
mod drip;
mod dub;
mod elastic_path;
mod elastic_path_cx_studio;
mod facebook_lead_ads;
mod factual_engine;
mod foursquare_movement;
mod freshchat;
mod friendbuy;
mod gladly;
mod gwen_webhooks;
mod herow;
mod hubspot;
mod ibm_watson_assistant;
mod inflection;
mod insider;
mod intercom;
mod iterable;
mod iterate;
mod jebbit;
mod klaviyo;
mod klenty;
mod launchdarkly;
mod leanplum;
mod listrak;
mod livelike_source;
mod looker;
mod mailchimp;
mod mailjet;
mod mailmodo;
mod mandrill;
mod marketo;
mod mixpanel_cohorts_source;
mod moengage_source;
mod moesif_api_analytics;
mod navattic;
mod nudgespot;
mod one_creation;
mod onesignal;
mod onetrust;
mod outgrow;
mod paytronix;
mod pendo;
mod provesource;
mod pushwoosh_source;
mod qualtrics;
mod quin_ai;
mod radar;
mod refiner;
mod regal_io;
mod salesforce;
mod salesforce_marketing_cloud;
mod segment;
mod selligent_marketing_cloud;
mod sendgrid;
mod sendgrid_marketing_campaigns;
mod shopify;
mod shopify_fueled;
mod shopify_littledata;
mod standard_webhooks;
mod statsig;
mod stripe;
mod synap;
mod twilio;
mod userguiding;
mod vero;
mod voucherify;
mod webhook;
mod wecheer;
mod white_label_loyalty;
mod workramp;
mod yotpo;
mod zapier;
mod zendesk;
mod zigpoll;

/// Every connector, in alphabetical order.
pub static ALL: &[Connector] = &[
    activecampaign::CONNECTOR,
    aircall::CONNECTOR,
    airship::CONNECTOR,
    alloyflow::CONNECTOR,
    amazon_s3::CONNECTOR,
    amplitude_cohorts::CONNECTOR,
    antavo::CONNECTOR,
    authvia::CONNECTOR,
    autopilothq::CONNECTOR,
    beamer::CONNECTOR,
    blip::CONNECTOR,
    bluedot::CONNECTOR,
    blueshift::CONNECTOR,
    braze::CONNECTOR,
    candu::CONNECTOR,
    chatlio::CONNECTOR,
    clevertap::CONNECTOR,
    cloudevents::CONNECTOR,
    commandbar::CONNECTOR,
    configcat::CONNECTOR,
    customer_io::CONNECTOR,
    delighted::CONNECTOR,
    deway_ai::CONNECTOR,
    drip::CONNECTOR,
    dub::CONNECTOR,
    elastic_path::CONNECTOR,
    elastic_path_cx_studio::CONNECTOR,
    facebook_lead_ads::CONNECTOR,
    factual_engine::CONNECTOR,
    foursquare_movement::CONNECTOR,
    freshchat::CONNECTOR,
    friendbuy::CONNECTOR,
    gladly::CONNECTOR,
    gwen_webhooks::CONNECTOR,
    herow::CONNECTOR,
    hubspot::CONNECTOR,
    ibm_watson_assistant::CONNECTOR,
    inflection::CONNECTOR,
    insider::CONNECTOR,
    intercom::CONNECTOR,
    iterable::CONNECTOR,
    iterate::CONNECTOR,
    jebbit::CONNECTOR,
    klaviyo::CONNECTOR,
    klenty::CONNECTOR,
    launchdarkly::CONNECTOR,
    leanplum::CONNECTOR,
    listrak::CONNECTOR,
    livelike_source::CONNECTOR,
    looker::CONNECTOR,
    mailchimp::CONNECTOR,
    mailjet::CONNECTOR,
    mailmodo::CONNECTOR,
    mandrill::CONNECTOR,
    marketo::CONNECTOR,
    mixpanel_cohorts_source::CONNECTOR,
    moengage_source::CONNECTOR,
    moesif_api_analytics::CONNECTOR,
    navattic::CONNECTOR,
    nudgespot::CONNECTOR,
    one_creation::CONNECTOR,
    onesignal::CONNECTOR,
    onetrust::CONNECTOR,
    outgrow::CONNECTOR,
    paytronix::CONNECTOR,
    pendo::CONNECTOR,
    provesource::CONNECTOR,
    pushwoosh_source::CONNECTOR,
    qualtrics::CONNECTOR,
    quin_ai::CONNECTOR,
    radar::CONNECTOR,
    refiner::CONNECTOR,
    regal_io::CONNECTOR,
    salesforce::CONNECTOR,
    salesforce_marketing_cloud::CONNECTOR,
    segment::CONNECTOR,
    selligent_marketing_cloud::CONNECTOR,
    sendgrid::CONNECTOR,
    sendgrid_marketing_campaigns::CONNECTOR,
    shopify_fueled::CONNECTOR,
    shopify_littledata::CONNECTOR,
    standard_webhooks::CONNECTOR,
    statsig::CONNECTOR,
    stripe::CONNECTOR,
    synap::CONNECTOR,
    twilio::CONNECTOR,
    userguiding::CONNECTOR,
    vero::CONNECTOR,
    voucherify::CONNECTOR,
    webhook::CONNECTOR,
    wecheer::CONNECTOR,
    white_label_loyalty::CONNECTOR,
    workramp::CONNECTOR,
    yotpo::CONNECTOR,
    zapier::CONNECTOR,
    zendesk::CONNECTOR,
    zigpoll::CONNECTOR,
];

/// The connector of that name.
pub fn find(name: &str) -> Option<&'static Connector> {
    ALL.iter().find(|connector| connector.name == name)
}

/// The names that are most like an unknown one, the nearest first; none if nothing is near.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let wanted = name.trim().to_lowercase().replace(['_', ' '], "-");
    let mut near: Vec<(usize, &'static str)> = ALL
        .iter()
        .map(|connector| (strsim::osa_distance(&wanted, connector.name), connector.name))
        .filter(|(distance, known)| {
            *distance <= 1 + known.len() / 4
                || (wanted.len() >= 3 && (known.contains(&wanted) || wanted.contains(known)))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_every_name_is_found() {
        assert!(ALL.is_sorted_by(|one, next| one.name < next.name), "ALL is not in alphabetical order");
        for connector in ALL {
            assert_eq!(find(connector.name).map(|found| found.title), Some(connector.title));
        }
        assert!(find("Klaviyo").is_none() && find("").is_none());
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_connector() {
        for (slip, meant) in
            [("klavio", "klaviyo"), ("Braze", "braze"), ("segmnet", "segment"), ("braze_currents", "braze")]
        {
            assert_eq!(nearest(slip).first(), Some(&meant), "{slip}");
        }
        for nonsense in ["", "x", "postgres"] {
            assert!(nearest(nonsense).is_empty(), "{nonsense}");
        }
    }
}
