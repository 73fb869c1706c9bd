-- Schemes that were kept elsewhere and are taken over: what two people stand for, posted once for ever.

create table openings (
  staged_at timestamptz not null, decided_at timestamptz, approved_event bigint not null default 0, finished_event bigint not null default 0,
  tenant_id int not null, opening_no int not null, members int not null, staged_by int not null, decided_by int, pack int not null,
  as_of date not null, state text not null check (state in ('staged', 'approved', 'finished', 'rejected')),
  digest text not null, source text not null, manifest jsonb not null,
  primary key (tenant_id, opening_no), check ((decided_by is null) = (state = 'staged'))
);
-- The same files are staged again only where they were rejected.
create unique index openings_once on openings (tenant_id, digest) where state <> 'rejected';

-- Members to be enrolled. Who they are is sealed, and goes as they are enrolled, as does the index of their old number.
create table opening_members (
  member_id bigint primary key, tenant_id int not null, opening_no int not null, range_no int not null, row_no int not null,
  joined_on date not null, first_contribution_on date, last_withdrawal_on date,
  number_index uuid, file text not null, product text not null, document bytea,
  foreign key (tenant_id, opening_no) references openings
);
create unique index opening_members_by_number on opening_members (tenant_id, opening_no, number_index);
create index opening_members_by_range on opening_members (tenant_id, opening_no, range_no);

-- What each of them held in the old books: smallest units of money or of a fund, and what units were bought for.
create table opening_holdings (
  member_id bigint not null, amount bigint not null check (amount > 0), cost bigint not null check (cost >= 0),
  tenant_id int not null, opening_no int not null, code int not null,
  primary key (member_id, code), foreign key (tenant_id, opening_no) references openings
);
-- What each of them paid in there: by payment, or summed, with its last day.
create table opening_history (
  member_id bigint not null, minor bigint not null check (minor > 0), tenant_id int not null, opening_no int not null,
  payments int not null check (payments > 0), paid_on date not null, product text not null, pot text not null, origin text not null,
  primary key (member_id, paid_on, product, pot, origin), foreign key (tenant_id, opening_no) references openings
);
-- What stands against members' holdings: the scheme's money, the units that managers hold, and units that are no member's.
create table opening_controls (
  amount bigint not null check (amount > 0), tenant_id int not null, opening_no int not null, code int not null, opening_code int not null,
  primary key (tenant_id, opening_no, code), foreign key (tenant_id, opening_no) references openings
);
-- The ranges by which it is posted: the unit of resumption. event_id is 0 where nobody in it holds anything.
create table opening_ranges (
  event_id bigint not null default 0, tenant_id int not null, opening_no int not null, range_no int not null, members int not null,
  is_done boolean not null default false,
  primary key (tenant_id, opening_no, range_no), foreign key (tenant_id, opening_no) references openings
) with (fillfactor = 80);
create index opening_ranges_by_event on opening_ranges (tenant_id, event_id) where event_id <> 0;

create function forget_opening() returns trigger language plpgsql as $$ begin
  update opening_members set document = null, number_index = null where member_id = new.member_id;
  return null;
end $$;
create trigger forget_opening after update of status on members
  for each row when (new.status = 'erased') execute function forget_opening();
