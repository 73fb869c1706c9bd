-- Money paid out: made by one person, approved by another on the digest of exactly what is paid, sent, and seen on a statement.

-- A payout. `parts` is [[pot, origin, smallest units], ...], taken from what is payable to the member; of
-- money that goes back from suspense, under no product, it is [[channel, "suspense", smallest units]]. The document is sealed: it names the payee. `reference_digest` and `provider_digest` are what lines of
-- the account's statements know it by. Events are 0 until they are: approved (the money is in transit), settled (a statement
-- shows it gone), home (it came back). Between its approval and one of the others it is in transit.
create table payouts (
  member_id bigint not null, amount bigint not null check (amount > 0),
  approved_event bigint not null default 0, settled_event bigint not null default 0, home_event bigint not null default 0,
  made_at timestamptz not null default clock_timestamp(), payout_id uuid not null,
  account_digest uuid not null, reference_digest uuid, provider_digest uuid,
  tenant_id int not null, least_match_bp int not null default 0, name_bp int, file_id int,
  made_on date not null, not_before date,
  state text not null default 'created'
    check (state in ('created', 'refused', 'approved', 'sent', 'pending', 'succeeded', 'failed', 'returned')),
  name_state text not null check (name_state in ('not-asked', 'waiting', 'agrees', 'differs', 'unknown')),
  is_name_seen boolean not null default false, is_check_begun boolean not null default false,
  product text not null, source text not null, rail text not null, account text not null default '', reason text not null default '',
  digest text not null check (digest ~ '^[0-9a-f]{64}$'), maker text not null, checker text check (checker <> maker),
  rules text[] not null, parts jsonb not null, document bytea not null,
  primary key (tenant_id, payout_id),
  check ((state in ('created', 'refused')) = (approved_event = 0)), check (approved_event = 0 or checker is not null),
  check ((state in ('failed', 'returned')) = (home_event <> 0)), check (settled_event = 0 or approved_event <> 0),
  check (state <> 'returned' or settled_event <> 0), check (settled_event = 0 or state in ('succeeded', 'returned'))
);
-- What is due is under way once; what failed or came back may be paid again.
create unique index one_payout_a_source on payouts (tenant_id, source) where state not in ('refused', 'failed', 'returned');
create index payouts_made on payouts (tenant_id, made_at, payout_id);
create index payouts_of on payouts (tenant_id, member_id);
create index payouts_unsettled on payouts (tenant_id, payout_id) where approved_event <> 0 and settled_event = 0 and home_event = 0;
create index payouts_by_reference on payouts (tenant_id, reference_digest) where reference_digest is not null;
create index payouts_by_transaction on payouts (tenant_id, provider_digest) where provider_digest is not null;
create index payouts_to_check on payouts (tenant_id, made_at) where name_state = 'waiting' and not is_check_begun;

-- A file that asked a bank to pay: its name and reference once, what it asks for in all. The bytes are sealed.
create table payout_files (
  total bigint not null check (total > 0), made_at timestamptz not null default clock_timestamp(),
  file_id int not null, tenant_id int not null, payouts int not null check (payouts > 0), execute_on date not null,
  rail text not null, message_ref text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), maker text not null,
  document bytea not null,
  primary key (tenant_id, file_id), unique (tenant_id, message_ref)
);

-- What a bank said of a file, each once.
create table payout_reports (
  read_at timestamptz not null default clock_timestamp(), tenant_id int not null, file_id int not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), name text not null, document bytea not null,
  primary key (tenant_id, sha256), foreign key (tenant_id, file_id) references payout_files
);

-- Money in suspense that goes back to whoever paid it: by which event it left, by which it came home (0: it did not).
create table suspense_refunds (
  event_id bigint not null, refunded_event bigint not null, home_event bigint not null default 0, tenant_id int not null,
  primary key (tenant_id, refunded_event)
);
create unique index one_refund_a_payment on suspense_refunds (tenant_id, event_id) where home_event = 0;

-- A line that a payout went by, or came back by; its `event_id` is the event that booked it.
-- squawk-ignore ban-drop-constraint
alter table settled_lines drop constraint settled_how;
alter table settled_lines add constraint settled_how check (how in ('withdrawn', 'order', 'proceeds', 'reversal', 'payout')) not valid;
