-- Payments that the bank pays together: by which reference of their sender, a keyed digest as a statement's line has it.
create table batch_receipts (
  member_id bigint not null, event_id bigint not null, digest uuid not null, tenant_id int not null,
  primary key (tenant_id, digest, event_id)
);

-- How far managers say orders are, by the name they know each by, as it came: what we act on of it is its `status`, `code` is theirs.
create table order_statuses (
  status_id bigint generated always as identity, event_id bigint not null, said_at timestamptz not null, tenant_id int not null, place int not null,
  status text not null check (status in ('received', 'accepted', 'passed-on', 'conditional', 'suspended', 'in-repair', 'rejected', 'cancelled', 'done',
                                         'settled', 'other')),
  counterparty text not null, reference text not null, code text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, counterparty, sha256, place)
);
create index order_statuses_of on order_statuses (tenant_id, counterparty, reference, status_id);

-- Orders that two people want back from a manager. `approved`: the manager is asked; `cancelled`: it agreed, or had refused the order
-- before, and the order is released to leave again; `refused`: it had carried the order out.
create table order_cancellations (
  decided_event bigint not null default 0, ended_event bigint not null default 0, proposed_at timestamptz not null, decided_at timestamptz,
  tenant_id int not null, cancellation_no int not null, file_id int not null, dealing_id int not null, fund_id int not null,
  maker int not null, checker int not null default 0,
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'approved', 'cancelled', 'refused')),
  side text not null check (side in ('subscribe', 'redeem')),
  reason text not null check (reason in ('sent-in-error', 'wrong-details', 'refused-by-manager', 'asked-by-manager')),
  digest text not null check (digest ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, cancellation_no),
  foreign key (tenant_id, file_id, dealing_id, fund_id, side) references order_sendings,
  check (checker <> maker), check ((state = 'proposed') = (checker = 0)), check ((state in ('proposed', 'rejected')) = (decided_event = 0)),
  check ((state in ('cancelled', 'refused')) = (ended_event <> 0))
);
create unique index one_cancellation_an_order on order_cancellations (tenant_id, file_id, dealing_id, fund_id, side) where state in ('proposed', 'approved');

-- squawk-ignore ban-drop-constraint
alter table outgoing_files drop constraint outgoing_files_kind_check;
alter table outgoing_files add constraint outgoing_files_kind_check
  check (kind in ('payouts', 'debits', 'match-claim', 'cover-claims', 'cancellation')) not valid;
