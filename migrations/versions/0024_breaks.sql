-- How people would put a line of a statement right, and what a second person decided. `receipts` are the events of the
-- receipts that the line shows, `lines` others that show the same receipt, each a statement and a line. `difference` is
-- what the line has more than the receipts, booked to `party` for the cause of the pack that bears that name.
create table break_proposals (
  proposal_id bigint generated always as identity, statement_id bigint not null, resolved_event bigint not null default 0,
  difference bigint not null default 0, proposed_at timestamptz not null, decided_at timestamptz,
  tenant_id int not null, line_no int not null, proposed_by int not null, decided_by int, until date,
  action text not null check (action in ('match', 'book', 'hold')),
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'confirmed')),
  cause text not null default '', party text not null default '', waits_for text not null default '',
  receipts bigint[] not null default '{}', lines bigint[][] not null default '{}',
  primary key (tenant_id, proposal_id), foreign key (tenant_id, statement_id, line_no) references statement_lines,
  check (decided_by is null or decided_by <> proposed_by),
  check ((state = 'proposed') = (decided_by is null)), check ((state = 'confirmed') = (resolved_event <> 0))
);
create index proposals_of_line on break_proposals (tenant_id, statement_id, line_no);
create index proposals_resolved on break_proposals (tenant_id, resolved_event) where resolved_event <> 0;

-- A line may show several receipts; of several lines that show one receipt the first is its match, the others are parts.
-- squawk-ignore ban-drop-constraint
alter table matches drop constraint matches_tenant_id_statement_id_line_no_key;
-- squawk-ignore require-concurrent-index-creation
create index matches_of_line on matches (tenant_id, statement_id, line_no);
-- squawk-ignore ban-drop-constraint
alter table settled_lines drop constraint settled_how;
alter table settled_lines add constraint settled_how
  check (how in ('withdrawn', 'order', 'proceeds', 'reversal', 'payout', 'part', 'cause')) not valid;
