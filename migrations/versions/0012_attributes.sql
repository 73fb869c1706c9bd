-- What registers outside say of members (a class, a status), as of a day: every word of theirs is kept, the latest counts.
create table member_attributes (
  member_id bigint not null, event_id bigint not null, tenant_id int not null, as_of date not null, expires_on date,
  attribute text not null, value text not null, source text not null,
  primary key (member_id, attribute, as_of, event_id)
);
