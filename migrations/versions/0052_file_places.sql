-- Files that leave for counterparties and come from them, by whichever way they travel.

-- A file of ours, staged whole before its first byte leaves: its bytes are sealed in the exchange of `reference`, which leaves
-- it. `about` is what it is of, in the words of its `kind`; a file whose name was taken there is rejected, and leaves under
-- another as the next `attempt`. `size` in bytes.
create table outgoing_files (
  decided_event bigint not null default 0, staged_at timestamptz not null default clock_timestamp(), size bigint not null check (size > 0),
  reference uuid not null, tenant_id int not null, attempt int not null check (attempt > 0),
  state text not null default 'requested' check (state in ('requested', 'accepted', 'rejected')),
  kind text not null check (kind in ('payouts', 'debits', 'match-claim', 'cover-claims')), about text not null, place text not null, name text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, reference), unique (tenant_id, kind, about, attempt), unique (tenant_id, place, name),
  check ((state = 'requested') = (decided_event = 0))
);
create unique index a_file_leaves_once on outgoing_files (tenant_id, kind, about) where state <> 'rejected';

-- A file as it came, kept before anything is done with it, once for ever by its bytes. `kept` until whoever it is for has
-- taken it in; one that is refused changed nothing, and its bytes may come again. `number` is what `sender` calls the file, one
-- more each time, where its files have numbers.
create table incoming_files (
  file_id bigint generated always as identity, event_id bigint not null default 0, fetched_at timestamptz not null default clock_timestamp(),
  size bigint not null check (size >= 0), tenant_id int not null, state text not null default 'kept' check (state in ('kept', 'taken', 'refused')),
  place text not null, name text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), kind text not null default '',
  reason text not null default '', sender text not null default '', number bigint check (number >= 0), document bytea not null,
  primary key (tenant_id, file_id), unique (tenant_id, place, sha256),
  check ((state = 'kept') = (event_id = 0)), check ((state = 'refused') = (reason <> ''))
);
create index incoming_files_by_number on incoming_files (tenant_id, place, sender, number) where number is not null;
create index incoming_files_kept on incoming_files (tenant_id, place, file_id) where state = 'kept';

-- Direct debits: mandates, the files that ask banks to collect, and what became of each debit.

-- A mandate as a member signed it, sealed under the member's key: account and reference are personal. `mandate_id` follows
-- from rail and reference, so that a reference is one mandate's, ever. Smallest units: `most` is the most of one debit.
create table mandates (
  member_id bigint not null, event_id bigint not null, ended_event bigint not null default 0, most bigint not null check (most > 0),
  mandate_id uuid not null, tenant_id int not null, signed_on date not null,
  product text not null, rail text not null, document bytea not null,
  primary key (tenant_id, mandate_id)
);
create unique index one_mandate_a_membership on mandates (tenant_id, member_id, product) where ended_event = 0;

-- A file of debits of one product: prepared by one person, approved by another on the digest of its debits, then written once.
create table debit_files (
  total bigint not null check (total > 0), event_id bigint not null default 0, made_at timestamptz not null default clock_timestamp(),
  file_id int not null, tenant_id int not null, debits int not null check (debits > 0), maker int not null, checker int not null default 0,
  collect_on date not null, product text not null, rail text not null, sequence text not null check (sequence in ('FRST', 'RCUR')),
  state text not null default 'prepared' check (state in ('prepared', 'approved', 'rejected', 'filed')), message_ref text not null,
  digest text not null check (digest ~ '^[0-9a-f]{64}$'), sha256 text not null default '', document bytea,
  primary key (tenant_id, file_id), unique (tenant_id, message_ref),
  check (checker <> maker), check ((state = 'prepared') = (checker = 0)),
  check ((state = 'filed') = (event_id <> 0)), check ((state = 'filed') = (document is not null)), check ((state = 'filed') = (sha256 <> ''))
);

-- One debit; `line_digest` is what statements know it by, `receipt` what a statement's line made of it. `dropped`: its file
-- was rejected. `refused`, `pending` are the bank's word, `paid` and `returned` its statement's.
create table debits (
  member_id bigint not null, amount bigint not null check (amount > 0), receipt bigint not null default 0,
  debit_id uuid not null, mandate_id uuid not null, line_digest uuid, tenant_id int not null, file_id int not null,
  state text not null default 'prepared' check (state in ('prepared', 'dropped', 'asked', 'pending', 'refused', 'paid', 'returned')),
  reason text not null default '',
  primary key (tenant_id, debit_id), foreign key (tenant_id, file_id) references debit_files,
  foreign key (tenant_id, mandate_id) references mandates, check ((state in ('paid', 'returned')) = (receipt <> 0)),
  check ((state in ('prepared', 'dropped')) = (line_digest is null))
);
create unique index one_debit_under_way on debits (tenant_id, mandate_id) where state in ('prepared', 'asked', 'pending');
create index debits_of on debits (tenant_id, file_id);
create index debits_by_line on debits (tenant_id, line_digest);

-- What a bank said of a file, each once.
create table debit_reports (
  read_at timestamptz not null default clock_timestamp(), tenant_id int not null, file_id int not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), name text not null, document bytea not null,
  primary key (tenant_id, sha256), foreign key (tenant_id, file_id) references debit_files
);

-- Breaks of confirmations that people end: one proposes to set what a manager said aside, another approves it.

-- squawk-ignore ban-drop-constraint
alter table confirmations drop constraint confirmations_state_check;
alter table confirmations add constraint confirmations_state_check
  check (state in ('waiting', 'part', 'confirmed', 'repeated', 'superseded', 'break', 'set-aside')) not valid;

-- Why a break is to be set aside, on exactly what the manager said: `digest`. It changes no order, no price and no unit.
create table confirmation_proposals (
  file_id bigint not null, decided_event bigint not null default 0,
  proposed_at timestamptz not null default clock_timestamp(),
  tenant_id int not null, proposal_id int not null, place int not null, maker int not null, checker int not null default 0,
  cause text not null check (cause in ('sent-in-error', 'withdrawn-by-manager', 'of-another-scheme', 'settled-otherwise')),
  digest text not null check (digest ~ '^[0-9a-f]{64}$'),
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')),
  primary key (tenant_id, proposal_id), foreign key (tenant_id, file_id, place) references confirmations,
  check (checker <> maker), check ((state = 'proposed') = (checker = 0)), check ((state = 'approved') = (decided_event <> 0))
);
create unique index one_proposal_a_confirmation on confirmation_proposals (tenant_id, file_id, place) where state = 'proposed';
