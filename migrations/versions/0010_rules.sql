-- Decisions that move no money, figures that arrive over time, and pack versions that wait for a second person.

-- A decision that is no event: a refusal, or what was answered to a question. `inputs` and `outcome` hold nothing personal.
create table determinations (
  member_id bigint not null, decision_id bigint not null, recorded_at timestamptz not null, tenant_id int not null,
  decided_on date not null, pack int not null, decision int not null,
  kind text not null, product text not null, code text not null, inputs jsonb not null, outcome jsonb not null,
  primary key (member_id, decision_id)
);
create index determinations_by_id on determinations (tenant_id, decision_id);

-- Points of reference series that came after the pack. Two people: who proposes a figure does not accept it.
create table series_points (
  point_id bigint generated always as identity, value numeric(28, 12) not null, proposed_at timestamptz not null,
  decided_at timestamptz, tenant_id int not null, proposed_by int not null, decided_by int,
  effective_from date not null, published_on date not null, series text not null, source text not null,
  confidence text not null check (confidence in ('high', 'medium', 'low')),
  state text not null default 'proposed' check (state in ('proposed', 'accepted', 'rejected')),
  primary key (tenant_id, point_id),
  check (decided_by is null or decided_by <> proposed_by),
  check ((state = 'proposed') = (decided_by is null))
);
create unique index series_points_once on series_points (tenant_id, series, effective_from, published_on) where state <> 'rejected';

-- A pack version put forward for a tenant, in force from a business date once another person has approved exactly it.
create table pack_proposals (
  proposal_id bigint generated always as identity, proposed_at timestamptz not null, decided_at timestamptz,
  tenant_id int not null, pack int not null, proposed_by int not null, decided_by int, in_force_from date not null,
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')),
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, proposal_id),
  check (decided_by is null or decided_by <> proposed_by),
  check ((state = 'proposed') = (decided_by is null))
);
create index pack_proposals_in_force on pack_proposals (tenant_id, in_force_from) where state = 'approved';
