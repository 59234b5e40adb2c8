//! Tokens for people.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use kit::http::Response;
use serde_json::{Value, json};

use super::Form;
use crate::claims::{ACCESS_S, Proof, Target};
use crate::entra::Entra;
use crate::errors::Refused;
use crate::live::{Code, Device};
use crate::model::{Refresh, User};
use crate::service::Incoming;
use crate::{resources, secrets, store};

const REFRESH_S: i64 = 90 * 24 * 3_600;
const DEVICE_S: i64 = 900;
const CODE_S: i64 = 600;
/// This many wrong passwords within [`FAILURES_WINDOW_S`] close a user for the rest of it.
const FAILURES_MAX: u32 = 10;
const FAILURES_WINDOW_S: i64 = 60;

impl Entra {
    /// Whether a client may sign people in.
    pub(crate) fn check_client(&self, client_id: &str) -> Result<(), Refused> {
        let known = resources::is_known_client(client_id)
            || self.store.state.read().application_of(client_id).is_some();
        if known { Ok(()) } else { Err(Refused::unknown_app(client_id, "Lazurite")) }
    }

    /// A client that has to prove that it is the one does.
    async fn check_confidential(&self, form: &Form, client_id: &str) -> Result<Proof, Refused> {
        self.check_client(client_id)?;
        if form.get("client_secret").is_some() || form.get("client_assertion").is_some() {
            return Ok(self.prove(form, client_id).await?.0);
        }
        if self.is_confidential(client_id, form.get("redirect_uri")) {
            return Err(super::client::no_proof());
        }
        Ok(Proof::Public)
    }

    /// The user with this name and password.
    pub(crate) async fn check_password(&self, upn: &str, password: &str) -> Result<User, Refused> {
        let now = self.now().as_second();
        let key = upn.to_ascii_lowercase();
        {
            let failures = self.live.failures.lock();
            if failures
                .get(&key)
                .is_some_and(|(n, since)| *n >= FAILURES_MAX && now - since < FAILURES_WINDOW_S)
            {
                return Err(Refused::new(
                    "invalid_grant",
                    50_053,
                    "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
                ));
            }
        }
        let wrong = || {
            Refused::new(
                "invalid_grant",
                50_126,
                "Error validating credentials due to invalid username or password.",
            )
        };
        let found = self.store.state.read().user(upn).cloned();
        // Unknown users cost the same time as known ones.
        let hash = found.as_ref().map_or_else(|| "x$x".to_owned(), |u| u.password.clone());
        let password = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || secrets::password_fits(&password, &hash))
            .await
            .map_err(|_| Refused::server())?;
        match found.filter(|_| fits) {
            Some(user) if !user.enabled => {
                Err(Refused::new("invalid_grant", 50_057, "The user account is disabled."))
            }
            Some(user) => {
                self.live.failures.lock().remove(&key);
                Ok(user)
            }
            None => {
                let mut failures = self.live.failures.lock();
                failures.retain(|_, (_, since)| now - *since < FAILURES_WINDOW_S);
                failures.entry(key).or_insert((0, now)).0 += 1;
                Err(wrong())
            }
        }
    }

    async fn user_answer(
        &self,
        form: &Form,
        user: &User,
        client_id: &str,
        scope: &str,
        proof: Proof,
        nonce: Option<&str>,
        signed_in: Option<i64>,
    ) -> Result<Value, Refused> {
        let audience = self.audience(scope)?;
        let target = Target { audience: &audience, base: &form.base, scope };
        let token = self.user_token(user, client_id, &target, proof)?;
        let refresh = secrets::random(48);
        let kept = Refresh {
            user: user.id.clone(),
            client_id: client_id.to_owned(),
            expires: self.now().as_second() + REFRESH_S,
            signed_in: signed_in.unwrap_or_else(|| self.now().as_second()),
            public: proof == Proof::Public,
        };
        let now = self.now().as_second();
        self.store
            .change(|state| {
                let old = state
                    .refresh
                    .iter()
                    .filter(|(_, r)| r.expires < now)
                    .map(|(id, _)| store::remove("refresh", id));
                let mut changes: Vec<_> = old.collect();
                changes.push(store::put("refresh", &secrets::fingerprint(&refresh), &kept)?);
                Ok(((), changes))
            })
            .await?;
        let mut body = json!({
            "token_type": "Bearer", "scope": format!("{audience}/user_impersonation {audience}/.default"), "expires_in": ACCESS_S - 1,
            "ext_expires_in": ACCESS_S - 1, "access_token": token, "refresh_token": refresh,
            "id_token": self.id_token(user, client_id, &form.base, nonce)?, "client_info": self.client_info(user), "foci": "1",
        });
        if form.v1 {
            body["resource"] = json!(audience);
        }
        Ok(body)
    }

    pub(super) async fn password(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?;
        let proof = self.check_confidential(form, client_id).await?;
        let user = self.check_password(form.need("username")?, form.need("password")?).await?;
        let scope = form.scope().ok_or_else(|| Refused::missing("scope"))?;
        self.user_answer(form, &user, client_id, &scope, proof, None, None).await
    }

    pub(super) async fn refresh(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?;
        let token = form.need("refresh_token")?;
        // Who got it without a proof uses it without one.
        let public =
            self.store.state.read().refresh.get(&secrets::fingerprint(token)).is_some_and(|r| r.public);
        let bare = form.get("client_secret").is_none() && form.get("client_assertion").is_none();
        let proof = if public && bare {
            self.check_client(client_id)?;
            Proof::Public
        } else {
            self.check_confidential(form, client_id).await?
        };
        let expired = || {
            Refused::new(
                "invalid_grant",
                700_082,
                "The refresh token has expired due to inactivity. The token was issued long ago and was inactive for 90.00:00:00.",
            )
        };
        let (kept, user) = {
            let state = self.store.state.read();
            let kept = state.refresh.get(&secrets::fingerprint(token)).cloned().ok_or_else(|| {
                Refused::new("invalid_grant", 9_002_313, "Invalid request. Request is malformed or invalid.")
            })?;
            let user = state.users.get(&kept.user).cloned();
            (kept, user)
        };
        if kept.expires < self.now().as_second() {
            return Err(expired());
        }
        // Azure's own clients are one family and share refresh tokens.
        let family = resources::is_known_client(client_id) && resources::is_known_client(&kept.client_id);
        if kept.client_id != client_id && !family {
            return Err(Refused::new(
                "invalid_grant",
                700_005,
                "Provided Refresh Token is intended to use against another client.",
            ));
        }
        let user = user
            .filter(|u| u.enabled)
            .ok_or_else(|| Refused::new("invalid_grant", 50_057, "The user account is disabled."))?;
        let scope = form.scope().unwrap_or_else(|| "https://management.azure.com/.default".to_owned());
        if kept.signed_in < user.sessions_from {
            return Err(Refused::new(
                "invalid_grant",
                50_173,
                "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
            ));
        }
        self.user_answer(form, &user, client_id, &scope, proof, None, Some(kept.signed_in)).await
    }

    pub(super) async fn authorization_code(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?;
        let proof = self.check_confidential(form, client_id).await?;
        let invalid = || {
            Refused::new(
                "invalid_grant",
                70_008,
                "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
            )
        };
        let code = self.live.codes.lock().remove(form.need("code")?).ok_or_else(invalid)?;
        if code.expires < self.now().as_second() || code.client_id != client_id {
            return Err(invalid());
        }
        if form.need("redirect_uri")? != code.redirect_uri {
            return Err(Refused::new(
                "invalid_client",
                500_112,
                "The reply address does not match the reply address provided when requesting Authorization code.",
            ));
        }
        if let Some((challenge, method)) = &code.challenge {
            let verifier = form.get("code_verifier").ok_or_else(|| Refused::missing("code_verifier"))?;
            let made = match method.as_str() {
                "plain" => verifier.to_owned(),
                _ => URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes())),
            };
            if made != *challenge {
                return Err(Refused::new(
                    "invalid_grant",
                    501_481,
                    "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
                ));
            }
        } else if proof == Proof::Public {
            return Err(Refused::new(
                "invalid_grant",
                9_002_325,
                "Proof Key for Code Exchange is required for cross-origin authorization code redemption.",
            ));
        }
        let user = self.store.state.read().users.get(&code.user).cloned().ok_or_else(invalid)?;
        let scope = form.scope().unwrap_or_else(|| code.scope.clone());
        self.user_answer(form, &user, client_id, &scope, proof, code.nonce.as_deref(), None).await
    }

    /// Starts a device sign-in.
    pub(crate) fn device_code(&self, incoming: &Incoming) -> Response {
        let mut fields = incoming.form();
        fields.extend(incoming.query.clone());
        let form = Form { fields, base: incoming.base.clone(), v1: false };
        match self.start_device(&form) {
            Ok(body) => kit::http::json(StatusCode::OK, &body),
            Err(refused) => refused.response(self.now(), &incoming.base),
        }
    }

    fn start_device(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?;
        self.check_client(client_id)?;
        let now = self.now().as_second();
        if !self.live.room(now) {
            return Err(Refused::new("slow_down", 70_019, "Too many sign-ins are under way."));
        }
        let letters = b"BCDFGHJKLMNPQRSTVWXZ23456789";
        let user_code: String =
            (0..9).map(|_| letters[rand::random_range(0..letters.len())] as char).collect();
        let device_code = secrets::random(32);
        let device = Device {
            user_code: user_code.clone(),
            client_id: client_id.to_owned(),
            scope: form.scope().unwrap_or_default(),
            expires: now + DEVICE_S,
            user: None,
        };
        self.live.devices.lock().insert(device_code.clone(), device);
        let page = format!("{}/devicelogin", form.base);
        Ok(json!({
            "user_code": user_code, "device_code": device_code, "verification_uri": page, "verification_url": page,
            "expires_in": DEVICE_S, "interval": 1,
            "message": format!("To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."),
        }))
    }

    pub(super) async fn device_token(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?;
        let proof = self.check_confidential(form, client_id).await?;
        let code = form
            .get("device_code")
            .or_else(|| form.get("code"))
            .ok_or_else(|| Refused::missing("device_code"))?;
        let now = self.now().as_second();
        let device = self.live.devices.lock().get(code).cloned();
        let device = device.filter(|d| d.client_id == client_id).ok_or_else(|| {
            Refused::new(
                "bad_verification_code",
                70_000,
                "The provided value for the input parameter 'device_code' is not valid.",
            )
        })?;
        if device.expires < now {
            return Err(Refused::new(
                "expired_token",
                70_020,
                "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
            ));
        }
        let Some(user) = device.user else {
            return Err(Refused::new(
                "authorization_pending",
                70_016,
                "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            ));
        };
        self.live.devices.lock().remove(code);
        let user = self.store.state.read().users.get(&user).cloned().ok_or_else(|| {
            Refused::new("invalid_grant", 50_034, "The user account does not exist in the directory.")
        })?;
        let scope = form.scope().unwrap_or(device.scope);
        self.user_answer(form, &user, client_id, &scope, proof, None, None).await
    }

    /// Makes an authorization code for a user who has just signed in.
    pub(crate) fn make_code(&self, code: Code) -> String {
        let text = secrets::random(48);
        self.live
            .codes
            .lock()
            .insert(text.clone(), Code { expires: self.now().as_second() + CODE_S, ..code });
        text
    }
}
