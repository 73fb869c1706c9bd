-- What members undertook to pay, by the event that says so: which rules of which pack version decided stands there. The one given
-- last counts from `from_on` on; `slab` is '' where the product's chart has none.
create table undertakings (
  member_id bigint not null, event_id bigint not null, tenant_id int not null, from_on date not null, given_on date not null,
  product text not null, slab text not null, frequency text not null,
  primary key (member_id, event_id)
);
