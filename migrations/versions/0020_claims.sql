-- Claims of benefits: asked for, decided by rules, approved by a second person, sold where they are in units, payable.

-- `claim_id` is the event that opened it. Smallest units: `asked` (0: as much as the rule gives), `amount` that left the
-- member's accounts as payable, `tax` withheld of it, `returned`: how much of it were contributions. `parts` is what is
-- taken by pot and origin, with units where it is in units; `facts` what the tax was worked out from. Events are 0 until they are.
create table benefit_claims (
  member_id bigint not null, claim_id bigint not null,
  asked bigint not null check (asked >= 0), amount bigint not null default 0 check (amount >= 0), tax bigint not null default 0 check (tax between 0 and amount),
  forfeited bigint not null default 0 check (forfeited >= 0), top_up bigint not null default 0 check (top_up >= 0), returned bigint not null default 0,
  decision bigint not null default 0, approved_event bigint not null default 0, sale_event bigint not null default 0, payable_event bigint not null default 0,
  completed_at timestamptz, tenant_id int not null, maker int not null, checker int not null default 0,
  opened_on date not null, due_on date,
  kind text not null check (kind in ('access', 'retirement', 'exit')), product text not null, rule text not null,
  state text not null check (state in ('open', 'decided', 'selling', 'payable', 'refused', 'withdrawn')),
  reason text not null default '', digest text not null default '',
  request jsonb not null, parts jsonb not null default '[]', facts jsonb not null default '{}',
  primary key (member_id, claim_id), check (checker <> maker), check ((state = 'refused') = (reason <> '')),
  check ((state = 'payable') = (payable_event <> 0)), check ((state = 'selling') <= (sale_event <> 0)),
  check (state = 'open' or state = 'withdrawn' or (completed_at is not null and decision <> 0))
);
create unique index benefit_claims_by_id on benefit_claims (tenant_id, claim_id);
create index benefit_claims_running on benefit_claims (tenant_id, state) where state in ('open', 'decided', 'selling');
-- A benefit that is taken whole is taken once.
create unique index benefit_claims_once on benefit_claims (member_id, product, rule)
  where kind in ('retirement', 'exit') and state in ('decided', 'selling', 'payable');
