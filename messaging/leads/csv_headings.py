"""The column headings of exports from address books, shops and CRMs, by the field of a lead.

Google Contacts, Outlook, HubSpot, Salesforce, Pipedrive, Shopify, WooCommerce and Facebook's lead forms, and the words of
some languages. A heading that is not known stays an attribute: one may be named with ``--map``.
"""

from messaging.leads.cleaning import attribute_name

__all__ = ["FIELDS", "FIRST_NAMES", "LAST_NAMES", "field_of", "first_known", "kind_of_phone", "label_of"]

FIELDS: dict[str, tuple[str, ...]] = {
    "name": (
        *("name", "full_name", "fullname", "nama", "nama_lengkap", "lead_name", "contact_name", "customer_name"),
        *("display_name", "person_name", "nombre_completo", "nome_completo", "姓名", "名前", "имя", "이름", "ชื่อ"),
    ),
    "niches": ("niches", "niche"),
    "triggers": ("triggers", "trigger"),
    "tags": ("tags", "tag"),
    "target_status": ("target_status", "targetstatus", "status"),
    "device": ("device", "device_id"),
    "time_zone": ("time_zone", "timezone", "tz"),
    "consent": (
        *("consent", "whatsapp_consent", "whatsapp_opt_in", "whatsapp_optin", "wa_consent", "wa_opt_in", "marketing_consent"),
        *("opt_in", "optin", "opted_in", "gdpr_consent", "pdpa_consent", "persetujuan", "kebenaran", "consentimiento"),
        *("consentimento", "consentement", "einwilligung", "consenso", "toestemming", "onay", "согласие", "同意", "동의"),
        *("ความยินยอม", "موافقة", "الموافقة", "सहमति"),
    ),
    "consent_at": (
        *("consent_at", "consent_date", "consent_time", "consented_at", "date_of_consent", "opt_in_at", "opt_in_date"),
        *("opt_in_time", "optin_date", "optin_time", "opted_in_at", "tanggal_persetujuan", "tarikh_kebenaran"),
        *("fecha_de_consentimiento", "fecha_consentimiento", "data_do_consentimento", "data_de_consentimento"),
        *("date_de_consentement", "date_du_consentement", "einwilligung_am", "einwilligungsdatum", "datum_der_einwilligung"),
        *("data_del_consenso", "data_consenso", "datum_toestemming", "onay_tarihi", "дата_согласия", "同意日", "同意日期"),
        *("동의일",),
    ),
}  # fmt: skip
"""The headings of each field but the phone; the first of them that a file has is the field's column."""

FIRST_NAMES = (
    *("first_name", "firstname", "given_name", "givenname", "fname", "nama_depan", "vorname", "prénom", "nombre"),
    *("nome", "primeiro_nome"),
)  # fmt: skip
LAST_NAMES = (
    *("last_name", "lastname", "family_name", "familyname", "surname", "lname", "nama_belakang", "nachname", "nom"),
    *("nom_de_famille", "apellido", "apellidos", "sobrenome", "último_nome", "cognome"),
)  # fmt: skip

_WHATSAPP = {"whatsapp", "wa", "whatsappnumber", "واتساب"}
_MOBILE = {
    *("mobile", "mobil", "mobilephone", "mobilenumber", "mobileno", "mobiltelefon", "cell", "cellphone", "cellular"),
    *("cellulare", "celular", "cel", "movil", "móvil", "handphone", "handy", "handynummer", "hp", "ponsel", "bimbit"),
    *("gsm", "portable", "telemóvel", "手机", "手机号", "手机号码", "携帯", "携帯電話", "мобильный", "휴대폰", "휴대전화"),
    *("เบอร์มือถือ", "मोबाइल", "جوال", "الجوال", "động"),
}  # fmt: skip
_PHONE = {
    *("phone", "phones", "phonenumber", "phoneno", "telephone", "tel", "tél", "telp", "telefon", "telefonnummer"),
    *("telefone", "telefono", "teléfono", "téléphone", "telepon", "telefoon", "msisdn", "fon", "电话", "电话号码", "联系电话"),
    *("電話", "電話番号", "телефон", "телефона", "هاتف", "الهاتف", "전화번호", "เบอร์โทร", "เบอร์โทรศัพท์", "โทรศัพท์", "thoại"),
}  # fmt: skip
_WORK = {
    *("work", "business", "office", "company", "kantor", "pejabat", "arbeit", "geschäftlich", "trabajo", "trabalho"),
    *("comercial", "bureau"),
}  # fmt: skip
_SECOND = {"address", "billing", "shipping", "other", "residencial", "particular"}
_BESIDE = {
    *("number", "numbers", "no", "nr", "num", "nomor", "nombor", "numero", "número", "numéro", "номер", "رقم", "số", "điện"),
    *("primary", "main", "default", "contact", "person", "customer", "client", "lead", "buyer", "user", "home", "private"),
    *("privat", "personal", "domicile", "value", "e164", "active", "aktif", "valid", "full", "required", "optional"),
    *("what", "s", "is", "your", "my", "the", "please", "enter", "de", "do", "del", "di", "du", "1", "2", "3", "4", "5"),
}  # fmt: skip
_WITH_COUNTRY = ({"with", "including", "incl"}, {"country", "code"})
"""``Mobile number (with country code)``; without the first of them it is the code alone."""
_WHOLE = {"contact_number", "contact_no", "contactnumber"}
"""Headings of a phone that none of its words gives away."""


def kind_of_phone(identifier: str) -> int | None:
    """How much a column of phones is to be preferred, 0 the most: WhatsApp, mobile, any, at work or of an address.

    None for another column. ``identifier`` is the heading's :func:`attribute_name`. Each word has to belong there: not ``phone_label``, nor
    ``mobile_opt_in``.
    """
    if identifier in _WHOLE:
        return 2
    words = set(identifier.split("_"))
    preposition, country = _WITH_COUNTRY
    if words & preposition:
        words -= preposition | country
    if words - _WHATSAPP - _MOBILE - _PHONE - _WORK - _SECOND - _BESIDE:
        return None
    return _kind(words)


def kind_of_label(label: str) -> int | None:
    """The same for the label that an address book has beside a phone (``Mobile``, ``Work``); None where it says nothing."""
    return _kind(set(attribute_name(label).split("_")), home=True)


def _kind(words: set[str], *, home: bool = False) -> int | None:
    if words & _WHATSAPP:
        return 0
    if words & _MOBILE:
        return 1
    if words & _PHONE or (home and words & {"home", "main"}):
        return 3 if words & (_WORK | _SECOND) else 2
    return 3 if home and words & _WORK else None


def label_of(identifier: str) -> tuple[str, ...]:
    """The headings of the label that belongs to a phone: ``phone_1_value`` has ``phone_1_label`` or ``phone_1_type``."""
    stem = identifier.removesuffix("_value")
    return (f"{stem}_label", f"{stem}_type") if stem != identifier else ()


def first_known(known: tuple[str, ...], headings: list[str]) -> int | None:
    """The place of the first of the known headings that there is."""
    return next((headings.index(heading) for heading in known if heading in headings), None)


def field_of(word: str) -> str | None:
    """The field that is meant by a word, e.g. ``tz``; None for none."""
    identifier = attribute_name(word)
    if identifier in ("phone", "whatsapp", "mobile"):
        return "phone"
    return next((field for field, known in FIELDS.items() if identifier in (field, *known)), None)
