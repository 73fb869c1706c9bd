-- What runs over all members gave some of them nothing by: the run's decision once, and a short row for each such member.

-- A run as a decision that can be explained: `inputs` are what it was run by, `decision` the rules, `pack` their version.
create table run_decisions (
  decision_id bigint not null, recorded_at timestamptz not null, tenant_id int not null, run_no int not null, decided_on date not null,
  pack int not null, decision int not null, kind text not null check (kind in ('match', 'fee', 'interest')),
  product text not null, inputs jsonb not null,
  primary key (tenant_id, kind, run_no)
);
create unique index run_decisions_by_id on run_decisions (tenant_id, decision_id);

-- `subject` is the fee, or the class a match goes by; `basis` what it was counted on, in smallest units; `reason` why it is nothing.
create table zero_results (
  member_id bigint not null, decision_id bigint not null, basis bigint not null, tenant_id int not null,
  subject text not null, reason text not null,
  primary key (member_id, decision_id, subject)
);
create index zero_results_by_decision on zero_results (tenant_id, decision_id);
