-- Promises that became a member's money by the claim `claim_id`, or lapsed by it; of a lapsed one nothing counts once its claim is closed.
create table promises_settled (
  member_id bigint not null, claim_id bigint not null, event_id bigint not null, minor bigint not null check (minor > 0),
  tenant_id int not null, product text not null, rule text not null, outcome text not null check (outcome in ('kept', 'lapsed')),
  primary key (member_id, claim_id, rule)
);
