-- Whose a suspended payment is, as one person proposes and another decides. `matched_on` is the day on which it was proposed: what
-- the money earned until then is `earned`. `parts` is how it is credited, a list of account kind, pot or party, and smallest units.
create table suspense_proposals (
  proposal_id bigint generated always as identity, event_id bigint not null, member_id bigint not null, amount bigint not null,
  earned bigint not null default 0 check (earned >= 0), resolved_event bigint not null default 0,
  proposed_at timestamptz not null, decided_at timestamptz, matched_on date not null,
  tenant_id int not null, proposed_by int not null, decided_by int, product text not null,
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'confirmed')), parts jsonb not null,
  primary key (tenant_id, proposal_id), foreign key (tenant_id, event_id) references suspense,
  check (decided_by is null or decided_by <> proposed_by),
  check ((state = 'proposed') = (decided_by is null)), check ((state = 'confirmed') = (resolved_event <> 0))
);
create index suspense_proposals_of on suspense_proposals (tenant_id, event_id);
-- One at a time: who would give it to somebody else rejects the first.
create unique index suspense_proposals_open on suspense_proposals (tenant_id, event_id) where state = 'proposed';

-- By which event what a payment earned while it waited was credited; 0 where it earned nothing.
alter table suspense_resolutions add column if not exists earned_event bigint not null default 0;

-- What payments can be recognised by: keyed digests of whom they came from, and of the reference that led to nobody. `member_id` is
-- whose the payment was as it came, the house while it lay in suspense.
create table payment_marks (
  digest uuid not null, event_id bigint not null, member_id bigint not null, tenant_id int not null,
  primary key (tenant_id, digest, event_id)
);
create index payment_marks_of on payment_marks (member_id, event_id);

-- Keyed digests of members' telephone numbers; several members may share one.
create table telephones (
  digest uuid not null, member_id bigint not null, tenant_id int not null,
  primary key (digest, member_id)
);
create index telephones_of on telephones (member_id);

-- Whether `telephones` has those of the document as it is.
alter table vault add column if not exists is_dialled boolean not null default false;
