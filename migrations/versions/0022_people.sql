-- What authorities say of members. What they state of a person is sealed under that member's own key and goes with it;
-- outside of it stand kinds, days and scores alone.

create table verifications (
  reference uuid not null, asked_at timestamptz not null default clock_timestamp(), decided_at timestamptz,
  member_id bigint not null, event_id bigint, tenant_id int not null, score_bp smallint, as_of date,
  state text not null default 'asked'
    check (state in ('asked', 'verified', 'doubtful', 'mismatch', 'unknown-number', 'blocked', 'refused', 'not-proven')),
  document_kind text not null, source text not null, asked_by text not null, why text not null default '', code text not null default '',
  kinds text[] not null default '{}', document bytea,
  primary key (member_id, reference),
  check ((decided_at is null) = (state in ('asked', 'doubtful')))
);
create unique index verifications_by_reference on verifications (tenant_id, reference);
-- One question at a time about one document of one member.
create unique index verifications_open on verifications (member_id, document_kind, source) where state in ('asked', 'doubtful');
create index verifications_doubtful on verifications (tenant_id, asked_at) where state = 'doubtful';

create function forget_verifications() returns trigger language plpgsql as $$ begin
  update verifications set document = null where member_id = new.member_id;
  return null;
end $$;
create trigger forget_verifications after update of status on members
  for each row when (new.status = 'erased') execute function forget_verifications();

-- Deaths that registers tell of, each record once. What the register says of the dead is sealed; whom of ours it is about is
-- matched by numbers, and by people where that leaves a doubt. A confirmed one is what a death claim begins with.
create table death_notices (
  notice_id bigint generated always as identity, received_at timestamptz not null default clock_timestamp(), decided_at timestamptz,
  member_id bigint, event_id bigint, tenant_id int not null, score_bp smallint, died_on date,
  state text not null check (state in ('unmatched', 'doubtful', 'confirmed', 'not-ours', 'void', 'reversal-proposed', 'reversed')),
  registry text not null, record text not null, why text not null default '', proposed_by text not null default '',
  document bytea not null,
  primary key (tenant_id, notice_id), unique (tenant_id, registry, record),
  check (member_id is not null or state in ('unmatched', 'not-ours', 'void')),
  check ((state = 'reversal-proposed') = (proposed_by <> '') or state = 'reversed')
);
create index death_notices_waiting on death_notices (tenant_id, received_at) where state in ('unmatched', 'doubtful', 'reversal-proposed');
create index death_notices_of on death_notices (member_id) where member_id is not null;

-- People on their way to an authority's own page. What finishing needs is sealed under the member's key; it is used once, and in time.
create table sign_ins (
  digest uuid not null, started_at timestamptz not null default clock_timestamp(), expires_at timestamptz not null, used_at timestamptz,
  member_id bigint not null, tenant_id int not null, document bytea not null,
  primary key (member_id, digest)
);
create unique index sign_ins_by_digest on sign_ins (tenant_id, digest);
