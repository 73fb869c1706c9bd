-- Savings that go to other schemes, as claims of kind 'transfer', and savings that come from them, by an advice and its payment.

-- squawk-ignore ban-drop-constraint
alter table benefit_claims drop constraint benefit_claims_kind_check;
alter table benefit_claims add constraint benefit_claims_kind_check
  check (kind in ('access', 'retirement', 'exit', 'death', 'loan', 'cover', 'transfer')) not valid;

-- Savings that left the member's accounts for another scheme, numbered as the claim that asked for it. `amount` smallest units are in
-- transit until a payout takes them; `parts` is [[pot, origin, amount, contributions in it], ...], `payments`
-- [[paid on, pot, origin, what is left of it], ...]. It ends as the other scheme acknowledges it, or as it comes home: by the
-- payment in suspense `receipt`, or (0) out of transit.
create table transfers_out (
  member_id bigint not null, claim_id bigint not null, amount bigint not null check (amount > 0), ended_event bigint not null default 0,
  receipt bigint not null default 0, tenant_id int not null, dated_on date not null, joined_on date not null, product text not null,
  state text not null default 'open' check (state in ('open', 'acknowledged', 'home')), acknowledgement text not null default '',
  parts jsonb not null, payments jsonb not null,
  primary key (member_id, claim_id), check ((state = 'open') = (ended_event = 0)), check (receipt = 0 or state = 'home')
);
create unique index transfers_out_by_claim on transfers_out (tenant_id, claim_id);

-- Savings that another scheme advised: two people stand for exactly what `digest` is of, then it waits for its payment. `brought` is
-- what comes in this scheme's pots. Whom it names is compared and not kept; `sha256` is of the advice.
create table transfers_in (
  member_id bigint not null, advice_id bigint not null, amount bigint not null check (amount > 0), posted_event bigint not null default 0,
  receipt bigint not null default 0, tenant_id int not null, maker int not null, checker int not null default 0,
  advised_on date not null, joined_there date not null, joined_on date not null, product text not null, sender text not null, reference text not null,
  state text not null default 'staged' check (state in ('staged', 'approved', 'posted', 'rejected', 'withdrawn')),
  digest text not null check (digest ~ '^[0-9a-f]{64}$'), sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  rule text not null, brought jsonb not null,
  primary key (member_id, advice_id), check (checker <> maker), check ((state = 'posted') = (posted_event <> 0)),
  check ((state = 'posted') = (receipt <> 0))
);
create unique index transfers_in_by_advice on transfers_in (tenant_id, advice_id);
-- An advice is taken again only where it was rejected or given up.
create unique index transfers_in_once on transfers_in (tenant_id, sender, reference) where state not in ('rejected', 'withdrawn');
create index transfers_in_waiting on transfers_in (tenant_id, amount) where state = 'approved';

-- What members paid in elsewhere, of savings that came by `event_id`: what is left of the contributions of a day.
create table transfer_history (
  member_id bigint not null, event_id bigint not null, minor bigint not null check (minor > 0), tenant_id int not null, paid_on date not null,
  product text not null, pot text not null, origin text not null,
  primary key (member_id, event_id, paid_on, pot, origin)
);
